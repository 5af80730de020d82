"""What the CF model says of user and item together, in the target item's slot."""

import math

import torch
from torch import Tensor, nn

from ccf_llm.fusion.slots import to_norm


class Odds(nn.Module):
    """slot = |token| * e / |e|,  e = fused + odds * w + b: log-odds along a learned direction w.

    Two vectors tell a language model what a CF model multiplies; the product it has to learn. Here it is told.

    Args:
        width: d.
        token_norm: the mean norm of the base model's token embeddings, at which w starts, in a random direction.
    """

    def __init__(self, width: int, token_norm: float) -> None:
        """A fresh direction, from torch's generator."""
        super().__init__()
        self.token_norm = token_norm
        self.unit = token_norm / math.sqrt(width)  # of an element, as in `alignment`
        self.weight = nn.Parameter(torch.randn(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, fused: Tensor, odds: Tensor) -> Tensor:
        """(S, d) slots at token norm, of fused embeddings (S, d) and log-odds (S,)."""
        return to_norm(fused + self.unit * (odds.unsqueeze(-1) * self.weight + self.bias), self.token_norm)
