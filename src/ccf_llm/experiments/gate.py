"""What a trained gate lets through."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ccf_llm.cf.base import CFModel
from ccf_llm.data.buckets import span_of
from ccf_llm.evaluation.slices import LIKES_BOUNDS
from ccf_llm.model.ccfllm import CCFLLM


def gate_by_popularity(model: CCFLLM) -> list[dict[str, Any]]:
    """Mean collaborative share of the items' slots, by how often the item was seen in training."""
    network = model.network
    cf: CFModel = network.cf
    with torch.no_grad():
        _, share = network.fuse_items(torch.arange(1, cf.n_items + 1, device=network.device), cf)
    counts = cf.item_counts[1:].cpu().numpy()
    result = []
    for low, high in pairwise((*LIKES_BOUNDS, np.inf)):
        inside = (counts >= low) & (counts < high)
        if inside.any():
            mean = float(share.cpu().numpy()[inside].mean())
            result.append({"popularity": span_of(low, high), "share": round(mean, 4), "items": int(inside.sum())})
    return result
