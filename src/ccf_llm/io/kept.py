"""Vectors of texts that are read once and then kept in the cache folder."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccf_llm.io.cache import cache_folder, scratch_folder
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.tensors import read_tensors, write_tensors

BLOCK = 1 << 16
"""Texts whose vectors are kept together."""


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


def kept_texts(texts: Sequence[str], key: str, read: Callable[[list[str]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """(n, w) what `read` makes of texts, kept by these and by `key`, which tells the reader from others.

    Many texts are read and kept in blocks (`BLOCK`), so that what ends early goes on there.
    """
    blocks = [list(texts[begin : begin + BLOCK]) for begin in range(0, max(len(texts), 1), BLOCK)]

    def made(block: list[str]) -> Tensor:
        return torch.from_numpy(read(block))

    vectors: NDArray[np.float32] = torch.cat(
        [kept_vectors(fingerprint([key, block]), partial(made, block)) for block in blocks]
    ).numpy()
    return vectors
