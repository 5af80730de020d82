"""GATE: how much of the semantic embedding goes into a slot."""

import torch
from torch import Tensor, nn


class Gate(nn.Linear):
    """g = sigmoid(W [e_sem ; ALG(e_cf) ; log(1 + n)] + b) with n training interactions; it starts at 1/2.

    Args:
        width: d, of both embeddings.
        gates: d for a gate of each dimension, 1 for one of the slot.
        count_aware: whether it sees n.
    """

    def __init__(self, width: int, gates: int, *, count_aware: bool) -> None:
        super().__init__(2 * width + int(count_aware), gates)
        self.count_aware = count_aware
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, semantic: Tensor, aligned: Tensor, counts: Tensor) -> Tensor:  # type: ignore[override]
        """(S, gates) shares of the semantic embeddings, from both embeddings (S, d) and counts (S,)."""
        inputs = [semantic, aligned] + ([counts.log1p().unsqueeze(-1)] if self.count_aware else [])
        return torch.sigmoid(super().forward(torch.cat(inputs, dim=-1)))
