"""Writing slot embeddings between token embeddings, without in-place tricks."""

import torch
from torch import Tensor


def to_norm(vectors: Tensor, norm: float) -> Tensor:
    """(..., d) vectors scaled to `norm`. Vectors near zero (no text, no signal) stay small instead of exploding."""
    length = vectors.norm(dim=-1, keepdim=True)
    scaled: Tensor = vectors * (norm / length.clamp(min=0.05 * norm))
    return scaled


def fill_slots(tokens: Tensor, vectors: Tensor, index: Tensor) -> Tensor:
    """Input embeddings with slots filled.

    `index_put` out of place: autograd sees one operation, also with gradient checkpointing.

    Args:
        tokens: (T, d) token embeddings, anything at the slots.
        vectors: (S, d) slot embeddings.
        index: (S,) position of each slot.
    """
    return torch.index_put(tokens, (index,), vectors.to(tokens.dtype)) if len(index) else tokens
