"""Editions: of each work, only the one that comes first."""

import numpy as np
from numpy.typing import NDArray

from ccf_llm.recommend.retrieval import Positions, Ranking


def first_of_each(works: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places at which a work stands for the first time, ascending.

    >>> first_of_each(np.array([7, 3, 7, 7, 3, 1])).tolist()
    [0, 1, 5]
    """
    _, first = np.unique(works, return_index=True)
    return np.sort(first)


def best_works(ranking: Ranking, n: int, works: NDArray[np.int64]) -> Positions:
    """The `n` best items of different works; `works` (n_items,) says which work each item is."""
    wanted = n
    while True:
        found = ranking.best(wanted)
        kept = found[first_of_each(works[found])]
        if len(kept) >= n or len(found) < wanted:
            return kept[:n]
        wanted *= 2
