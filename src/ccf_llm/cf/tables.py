"""Tables of vectors [factors, bias], one row per code: one lookup serves score, fallback and language model."""

import torch
from torch import Tensor


def start_table(codes: int, dim: int, generator: torch.Generator) -> Tensor:
    """(codes, dim + 1) normal noise of .05 as factors, and a bias of 0."""
    return torch.cat([0.05 * torch.randn(codes, dim, generator=generator), torch.zeros(codes, 1)], dim=1)


@torch.no_grad()
def fill_unseen(table: Tensor, counts: Tensor) -> None:
    """Give codes without a training row, code 0 among them, the mean vector of those with one, in place."""
    table[counts == 0] = table[counts > 0].mean(0)


def factor_penalty(vectors: Tensor) -> Tensor:
    """() sum of squares of the factors of (..., d + 1) vectors; the bias is free."""
    return vectors[..., :-1].square().sum()
