"""Where and in what precision the language model runs."""

import os
from pathlib import Path

import torch

from ccf_llm.errors import CCFError
from ccf_llm.io.memory import allocate_with


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


def tune_cpu() -> None:
    """Make this process fit the processors it may use; called before a model computes on them."""
    allowed = available_cpus()
    if allowed < torch.get_num_threads():
        torch.set_num_threads(allowed)
    # glibc hands a large block back to the system when it is freed, and gets it back page by page: every layer's
    # activations would be faulted in anew. So blocks up to 32 MB stay in the process.
    allocate_with(mmap_threshold=32 * 2**20, trim_threshold=2**31 - 1)


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Processors that this process may use: PyTorch counts those of the machine, a container may have fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cgroup.read_text(encoding="ascii").split()
        share = allowed if quota == "max" else round(int(quota) / int(period))
    except (OSError, ValueError):
        share = allowed
    return max(1, min(allowed, share))
