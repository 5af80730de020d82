"""CF vectors as short text: 32 bits, written like an IPv4 address (BinLLM, Zhang et al. 2024).

BinLLM learns the layer that makes the bits, with a loss of its own. Here they are fixed: bit k is the side of random
hyperplane k that the centred vector lies on (Charikar 2002), so that near vectors differ in few bits.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccf_llm.cf.base import SCORE_BATCH, CFModel
from ccf_llm.data.rows import Rows

BITS = 32


class BinaryCodes:
    """Codes of the users and items of one fitted CF model; equal models give equal codes."""

    def __init__(self, cf: CFModel) -> None:
        """Draw the hyperplanes, from a seed of their own."""
        self._cf = cf
        planes = np.random.default_rng(32).standard_normal((cf.dim, BITS))
        self._planes = torch.from_numpy(planes.astype(np.float32))

    @torch.no_grad()
    def items(self) -> list[str]:
        """The code of every item code, from 0."""
        codes = torch.arange(self._cf.n_items + 1, device=self._cf.device)
        return self._write(self._cf.item_embedding(codes), self._cf.item_statistics()[0])

    @torch.no_grad()
    def users(self, rows: Rows) -> list[str]:
        """The code of the user of each row, with its history."""
        written: list[str] = []
        for begin in range(0, len(rows), SCORE_BATCH):
            users, history, _ = self._cf.inputs(rows.take(slice(begin, begin + SCORE_BATCH)))
            written += self._write(self._cf.user_embedding(users, history), self._cf.user_statistics()[0])
        return written

    def _write(self, vectors: Tensor, mean: Tensor) -> list[str]:
        bits = ((vectors - mean).float().cpu() @ self._planes > 0).numpy()
        return [dotted(octets) for octets in np.packbits(bits, axis=1)]


def dotted(octets: NDArray[np.uint8]) -> str:
    """Four bytes as `203.0.113.7`."""
    return ".".join(str(int(octet)) for octet in octets)
