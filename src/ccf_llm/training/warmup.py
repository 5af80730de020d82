"""ALG warmed up: aligned CF vectors are drawn to what words say, before a language model reads any of them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.cf.base import last_rows
from ccf_llm.data.rows import Rows
from ccf_llm.fusion.fusion import Fusion
from ccf_llm.model.network import CCFNetwork
from ccf_llm.randomness import seeded

PAIRS = 256
"""Of a step: each is set against all others."""
TEMPERATURE = 0.1
RATE = 1e-3
READERS = 512
"""Users whose histories are read at once."""


def warm_up(network: CCFNetwork, rows: Rows, steps: int, seed: int) -> list[float]:
    """Train the alignment of items and users for `steps` steps, in place; what reads the words stays.

    Loss: the symmetric InfoNCE of aligned vectors and what the words say of the same item or user, without what all
    words have in common, by their cosine (van den Oord et al. 2018; CLIP, Radford et al. 2021).

    Args:
        network: with fresh fusion.
        rows: training rows, which say what users liked.
        steps: of both together.
        seed: of the pairs.

    Returns:
        The loss of each step.
    """
    network.requires_grad_(False)
    pairs = [(fusion, semantic - semantic.mean(0), cf) for fusion, semantic, cf in _pairs(network, rows)]
    weights = list(dict.fromkeys(weight for fusion, *_ in pairs for weight in fusion.align.parameters()))
    for weight in weights:
        weight.requires_grad_(True)
    optimizer, losses = torch.optim.AdamW(weights, lr=RATE), []
    with seeded(seed):
        for _ in range(steps):
            loss = sum((_contrast(*pair) for pair in pairs), torch.zeros((), device=network.device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
    network.requires_grad_(False)
    return losses


def _contrast(fusion: Fusion, semantic: Tensor, vectors: Tensor) -> Tensor:
    """() the loss of pairs drawn from all (n, d) and (n, c)."""
    drawn = torch.randperm(len(semantic))[:PAIRS].to(semantic.device)
    aligned, said = F.normalize(fusion.aligned(vectors[drawn]), dim=1), F.normalize(semantic[drawn], dim=1)
    logits, same = aligned @ said.T / TEMPERATURE, torch.arange(len(drawn), device=semantic.device)
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


@torch.no_grad()
def _pairs(network: CCFNetwork, rows: Rows) -> Iterator[tuple[Fusion, Tensor, Tensor]]:
    """Semantic (n, d) and CF vectors (n, c) of the items that training knows, and of its users, as their last row."""
    items = (network.cf.item_counts > 0).nonzero()[:, 0]
    yield network.fusion.item, *network.item_sides(items, network.cf)[:2]
    last = last_rows(rows)
    able = np.flatnonzero((last.users > 0) & (last.end > last.start))
    parts = [
        network.user_sides(last.take(able[begin : begin + READERS]), network.cf)[:2]
        for begin in range(0, len(able), READERS)
    ]
    if parts:
        semantic, vectors = (torch.cat(side) for side in zip(*parts, strict=True))
        yield network.fusion.user, semantic, vectors
