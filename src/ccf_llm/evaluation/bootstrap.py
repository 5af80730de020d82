"""Bootstrap over users: intervals and paired differences that respect that a user's rows belong together.

Users are drawn with replacement (cluster bootstrap; Field and Welsh 2007), so rows are not taken for independent. A
draw is a vector of how often each user came up, and the figures are weighted by it: nothing is copied, and all methods
are measured on the same draws, which is what makes differences paired.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ccf_llm.evaluation.metrics import Floats, user_aucs

CELLS_AT_ONCE = 4_000_000
"""Draws times rows that are held in memory at a time (32 MB per array)."""


def draw_users(n_users: int, draws: int, seed: int) -> NDArray[np.int64]:
    """(draws, n_users) how often each user is drawn when n_users are drawn with replacement."""
    return np.random.default_rng(seed).multinomial(n_users, np.full(n_users, 1 / n_users), size=draws)


def bootstrap_auc(users: NDArray[np.int64], labels: ArrayLike, scores: ArrayLike, draws: NDArray[np.int64]) -> Floats:
    """(D,) AUC of each draw: rows weighted by the multiplicity of their user, ties counted half, from one sort.

    `users` (N,) are columns of `draws` (D, U). NaN for a draw that holds one class only.
    """
    scores = np.asarray(scores, dtype=float)
    order = np.argsort(-scores, kind="stable")
    users, scores, liked = users[order], scores[order], np.asarray(labels)[order] > 0
    first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    step = max(1, CELLS_AT_ONCE // max(1, len(users)))
    parts = [_weighted_auc(draws[begin : begin + step][:, users], liked, first) for begin in range(0, len(draws), step)]
    return np.concatenate(parts)


def bootstrap_uauc(users: NDArray[np.int64], labels: ArrayLike, scores: ArrayLike, draws: NDArray[np.int64]) -> Floats:
    """(D,) UAUC of each draw: mean of the users' AUCs weighted by multiplicity; users with one class are left out."""
    columns, values = user_aucs(users, labels, scores)
    counted = ~np.isnan(values)
    weights = draws[:, columns[counted]].astype(float)
    return _ratio(weights @ values[counted], weights.sum(1))


def interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of the draws (percentile interval), without those that have no value."""
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weighted_auc(weights: NDArray[np.int64], liked: NDArray[np.bool_], first: NDArray[np.int64]) -> Floats:
    """(D,) AUC of rows sorted from the highest score down, with weights (D, N); `first` is where each tie starts."""
    likes = np.add.reduceat(np.where(liked, weights, 0), first, axis=1).astype(float)  # (D, ties)
    dislikes = np.add.reduceat(np.where(liked, 0, weights), first, axis=1).astype(float)
    total = dislikes.sum(1, keepdims=True)
    below = total - dislikes.cumsum(1) + dislikes / 2
    pairs = likes.sum(1) * total[:, 0]
    return _ratio((likes * below).sum(1), pairs)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, NaN where below is 0."""
    result = np.full(len(above), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
