"""Parts of the evaluated rows that are worth a figure of their own."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.buckets import WARM, span_of
from ccf_llm.data.rows import Rows

Counts = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]

HISTORY_BOUNDS = (0, 1, 6, 21, 51)
"""Where each bucket of history length starts."""
LIKES_BOUNDS = (0, 1, 3, 6, 11, 31, 101)
"""Where each bucket of an item's likes in training starts."""


def slices(
    rows: Rows, *, user_counts: Counts, item_counts: Counts, warm_threshold: int = WARM
) -> dict[str, NDArray[np.bool_]]:
    """Name -> (N,) which rows belong to it: warm, cold, then one slice per bucket of history length.

    Warm: user and item both have at least `warm_threshold` training interactions; cold: the rest. `user_counts` and
    `item_counts` are training interactions per code.
    """
    warm = (user_counts[rows.users] >= warm_threshold) & (item_counts[rows.items] >= warm_threshold)
    return {"warm": warm, "cold": ~warm} | by_history(rows.end - rows.start)


def by_history(lengths: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Name -> (N,) which of the histories are of the lengths of its bucket."""
    return {name: (lengths >= low) & (lengths < high) for name, (low, high) in history_slices().items()}


def history_slices() -> dict[str, tuple[float, float]]:
    """`history 0`, `history 1-5` and so on, shortest first -> the shortest length, and the first that is too long."""
    return _buckets("history", HISTORY_BOUNDS)


def likes_slices() -> dict[str, tuple[float, float]]:
    """The same of a target's likes in training: `target likes 0`, `target likes 1-2` and so on."""
    return _buckets("target likes", LIKES_BOUNDS)


def _buckets(what: str, bounds: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    return {f"{what} {span_of(low, high)}": (low, high) for low, high in pairwise((*bounds, np.inf))}
