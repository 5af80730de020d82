"""GGUF, the one-file format of llama.cpp -> the folder of safetensors that transformers reads quickly."""

from pathlib import Path
from typing import Any

import torch

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.fetch import announce
from ccf_llm.io.integrity import sealed_folder
from ccf_llm.io.pretrained import SAFELY, check_size
from ccf_llm.io.quiet import quiet
from ccf_llm.randomness import seeded


def convert_gguf(gguf: Path, folder: Path, *, about: dict[str, str]) -> None:
    """Write model (fp32, unpacked from whatever quantization) and tokenizer of a GGUF file to `folder`, atomically.

    A manifest with the size and SHA-256 of each file, and with `about`, is written beside them, so that a damaged
    copy can be told. Raises `CCFError` for a file that is not GGUF or of an architecture that transformers lacks.
    """
    if not _is_gguf(gguf):
        raise CCFError(f"{gguf}: not a GGUF file; download it again, or give a folder with safetensors")
    announce(f"converting {gguf.name} to safetensors, once")
    # Seeded, as a model is drawn before its weights are put in.
    with sealed_folder(folder, about) as temporary, quiet(), seeded(0):
        _convert(gguf, temporary)


def _is_gguf(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # slow to import

    source: dict[str, Any] = {"gguf_file": gguf.name, **SAFELY}
    try:
        check_size(AutoConfig.from_pretrained(gguf.parent, **source), [gguf])
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    except Exception as error:  # a cut or foreign file makes the reader fail in any of many ways
        reason = one_line(error)
        raise CCFError(f"{gguf}: transformers cannot read it ({reason}); give a folder with safetensors") from error
    # The loaded model counts as quantized and refuses to be saved, so its weights move into one that is not.
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
