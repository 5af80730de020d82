"""Vectors of texts that are read once and then kept in the cache folder."""

from collections.abc import Callable

import torch
from torch import Tensor

from ccf_llm.io.cache import cache_folder, scratch_folder
from ccf_llm.io.tensors import read_tensors, write_tensors


def kept_vectors(key: str, make: Callable[[], Tensor]) -> Tensor:
    """What `make` gives, on the CPU, or what it gave before; `key` is a hash of everything that decides it."""
    path = cache_folder() / "vectors" / f"{key[:16]}.safetensors"
    if path.is_file():
        return read_tensors(path)["vectors"]
    vectors = make().to(torch.device("cpu"))
    with scratch_folder(path.parent) as scratch:
        write_tensors({"vectors": vectors}, scratch / path.name)
        (scratch / path.name).replace(path)
    return vectors
