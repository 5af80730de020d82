"""Parts of the evaluated rows that are worth a figure of their own."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows

Counts = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]

HISTORY_BOUNDS = (0, 1, 6, 21, 51)
"""Where each bucket of history length starts."""


def slices(
    rows: Rows, *, user_counts: Counts, item_counts: Counts, warm_threshold: int = 3
) -> dict[str, NDArray[np.bool_]]:
    """Name -> (N,) which rows belong to it: warm, cold, then one slice per bucket of history length.

    Warm: user and item both have at least `warm_threshold` training interactions; cold: the rest. `user_counts` and
    `item_counts` are training interactions per code.
    """
    warm = (user_counts[rows.users] >= warm_threshold) & (item_counts[rows.items] >= warm_threshold)
    return {"warm": warm, "cold": ~warm} | by_history(rows.end - rows.start)


def by_history(lengths: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Name -> (N,) which of the histories are of the lengths of its bucket."""
    return {
        _history_name(low, high): (lengths >= low) & (lengths < high)
        for low, high in pairwise((*HISTORY_BOUNDS, np.inf))
    }


def history_slices() -> list[str]:
    """Names of the history-length slices, shortest first."""
    return [_history_name(low, high) for low, high in pairwise((*HISTORY_BOUNDS, np.inf))]


def _history_name(low: float, high: float) -> str:
    """`history 0`, `history 1-5`, ..., `history >50`."""
    if high == np.inf:
        return f"history >{int(low) - 1}"
    return f"history {int(low)}" if high - low == 1 else f"history {int(low)}-{int(high) - 1}"
