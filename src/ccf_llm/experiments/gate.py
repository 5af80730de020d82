"""What a trained gate lets through."""

from typing import Any

import numpy as np
import torch

from ccf_llm.cf.base import CFModel
from ccf_llm.model.ccfllm import CCFLLM


def gate_by_popularity(model: CCFLLM) -> list[dict[str, Any]]:
    """Mean collaborative share of the items' slots, by how often the item was seen in training."""
    network = model.network
    cf: CFModel = network.cf
    with torch.no_grad():
        _, share = network.fuse_items(torch.arange(1, cf.n_items + 1, device=network.device), cf)
    counts = cf.item_counts[1:].cpu().numpy()
    edges = [0, 1, 5, 20, 50, 100, 200]
    result = []
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        inside = (counts >= low) & (counts < (high or np.inf))
        label = f"{low}+" if high is None else str(low) if high == low + 1 else f"{low}-{high - 1}"
        if inside.any():
            mean = float(share.cpu().numpy()[inside].mean())
            result.append({"popularity": label, "share": round(mean, 4), "items": int(inside.sum())})
    return result
