"""How much of what a user goes on to like stands in a list, and how high: one figure, one function.

All take `relevant` (L, depth), whether the item at each place of each list is one of its user's targets (False beyond
the end of a short list), `targets` (L,), how many each user has, and the cutoff k <= depth. They give (L,) figures from
0 to 1, NaN for a user without a target. rel(r) is 1 where the item at rank r is relevant, else 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.evaluation.metrics import Doubles, Integers

Booleans = NDArray[np.bool_]


def places(lists: pl.DataFrame, marked: Booleans, depth: int) -> Booleans:
    """(L, depth) whether a place is marked, from lists in the order of `check_lists` and a mark for each row."""
    rank = lists["rank"].to_numpy()
    number = np.cumsum(rank <= 1) - 1  # a list begins at rank 1, an empty one is a row of rank 0
    found = np.zeros((int(number[-1]) + 1, depth), dtype=bool)
    kept = (rank >= 1) & (rank <= depth)
    found[number[kept], rank[kept] - 1] = marked[kept]
    return found


def in_order(scores: NDArray[np.floating[Any]], relevant: Booleans, k: int) -> Booleans:
    """(L, k) whether each place is relevant, where scores put items in order: (L, m) scores, NaN for none, and marks.

    Of equal scores the first comes first.
    """
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), axis=1, kind="stable")[:, :k]
    marks = np.take_along_axis(relevant, order, axis=1)
    return np.pad(marks, ((0, 0), (0, k - marks.shape[1])))


def ndcg(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), with gain 1 for a relevant item.

    Sum over r <= k of rel(r) / log2(r + 1), divided by the same sum of the best list there could be, which has
    min(targets, k) relevant items on top.
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(targets, k)]
    return _share(relevant[:, :k] @ discount, best)


def recall(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """Relevant items among the first k, divided by targets."""
    return _share(relevant[:, :k].sum(1), targets)


def precision(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """Relevant items among the first k, divided by k, however short the list."""
    return _share(relevant[:, :k].sum(1), np.where(targets > 0, k, 0))


def hit_rate(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """1 where any of the first k is relevant, else 0."""
    return _share(relevant[:, :k].max(1), targets > 0)


def mrr(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """Reciprocal rank (Voorhees 1999): 1 / rank of the first relevant item, 0 where the first k hold none."""
    best = (relevant[:, :k] / np.arange(1, k + 1)).max(1)
    return _share(best, targets > 0)


def average_precision(relevant: Booleans, targets: Integers, k: int) -> Doubles:
    """Average precision at k, whose mean is MAP (Buckley and Voorhees 2000).

    Sum over r <= k of rel(r) * (relevant items among the first r) / r, divided by min(targets, k), so that 1 can be
    reached. trec_eval divides by targets, also where they are more than k.
    """
    first = relevant[:, :k]
    at_hit = first * first.cumsum(1) / np.arange(1, k + 1)
    return _share(at_hit.sum(1), np.minimum(targets, k))


ACCURACY: dict[str, Callable[[Booleans, Integers, int], Doubles]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "mrr": mrr,
    "map": average_precision,
}


def _share(got: NDArray[Any], possible: NDArray[Any]) -> Doubles:
    """got / possible, NaN where nothing is possible: there the user has no target."""
    result = np.full(len(got), np.nan)
    np.divide(got, possible, out=result, where=possible > 0)
    return result
