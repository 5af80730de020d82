"""Where and in what precision the language model runs."""

import torch

from ccf_llm.errors import CCFError


def choose_device(name: str) -> torch.device:
    """`auto` is a CUDA device if there is one, else the CPU.

    Raises:
        CCFError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise CCFError(f"llm.device: no device '{name}' here; use cpu or auto") from None
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the device computes in it natively, else fp32: emulated bf16 is slower than fp32."""
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return torch.bfloat16 if has_native_bf16(device) else torch.float32


def has_native_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products are native there (AVX512-BF16 or AMX on x86 CPUs, Ampere and later GPUs)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return any(bool(features.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
