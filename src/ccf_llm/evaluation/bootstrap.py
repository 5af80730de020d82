"""Bootstrap over users: intervals and paired differences that respect that a user's rows belong together.

Users are drawn with replacement (cluster bootstrap; Field and Welsh 2007), so rows are not taken for independent. A
draw is a vector of how often each user came up, and the figures are weighted by it: nothing is copied, and all methods
are measured on the same draws, which is what makes differences paired.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ccf_llm.evaluation.metrics import Doubles, user_aucs

CELLS_AT_ONCE = 4_000_000
"""Rows times users that are held in memory at a time (32 MB per array)."""


def draw_users(n_users: int, draws: int, seed: int) -> NDArray[np.int64]:
    """(draws, n_users) how often each user is drawn when n_users are drawn with replacement."""
    return np.random.default_rng(seed).multinomial(n_users, np.full(n_users, 1 / n_users), size=draws)


def bootstrap_auc(users: NDArray[np.int64], labels: ArrayLike, scores: ArrayLike, draws: NDArray[np.int64]) -> Doubles:
    """(D,) AUC of each draw: rows weighted by the multiplicity of their user, ties counted half.

    `users` (N,) are columns of `draws` (D, U). NaN for a draw that holds one class only.
    """
    all_alike = np.zeros(draws.shape[1], dtype=np.int64)
    return bootstrap_group_auc(users, labels, scores, draws, all_alike)[0][:, 0]


def bootstrap_group_auc(
    users: NDArray[np.int64], labels: ArrayLike, scores: ArrayLike, draws: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Doubles, Doubles]:
    """(D, G) AUC of each draw over the rows of each group of users, and over those of all others; see `bootstrap_auc`.

    `groups` (U,) are from 0 to G - 1. How often liked rows of user u stand above other rows of user v is counted once;
    with multiplicities m a draw's AUC over the users of a group is

        sum over u, v in it of m_u m_v above(u, v) / (sum of m_u likes(u) * sum of m_v dislikes(v))

    and over all others the same of the sums over all, less those in which u, v or both are of the group.
    """
    weights, n_users = draws.astype(float), draws.shape[1]
    member = np.eye(int(groups.max(initial=0)) + 1)[groups]  # (U, G)
    liked = np.asarray(labels) > 0
    _, level = np.unique(np.asarray(scores, dtype=float), return_inverse=True)  # rows of one level are tied
    likes, dislikes = (
        weights @ (member * np.bincount(users[rows], minlength=n_users)[:, None]) for rows in (liked, ~liked)
    )
    order = np.argsort(users[liked], kind="stable")
    level_of_like = level[liked][order]
    likers, first = np.unique(users[liked][order], return_index=True)
    won = np.zeros((len(draws), member.shape[1], member.shape[1]))  # by group of u, and of v
    step = max(1, CELLS_AT_ONCE // (int(level.max(initial=0)) + 2))
    for begin in range(0, n_users if len(likers) else 0, step):
        block = ~liked & (users >= begin) & (users < begin + step)
        # Row l: dislikes of each user of the block that lie below level l.
        below = np.zeros((level.max() + 2, min(step, n_users - begin)))
        np.add.at(below, (level[block] + 1, users[block] - begin), 1)
        below.cumsum(0, out=below)
        above = np.add.reduceat((below[level_of_like] + below[level_of_like + 1]) / 2, first, axis=0)
        for group in range(member.shape[1]):
            own = groups[likers] == group
            beaten = (weights[:, likers[own]] @ above[own]) * weights[:, begin : begin + step]
            won[:, group] += beaten @ member[begin : begin + step]
    within = np.diagonal(won, axis1=1, axis2=2)
    outside = won.sum((1, 2))[:, None] - won.sum(1) - won.sum(2) + within
    others = (likes.sum(1, keepdims=True) - likes) * (dislikes.sum(1, keepdims=True) - dislikes)
    return _ratio(within, likes * dislikes), _ratio(outside, others)


def bootstrap_uauc(users: NDArray[np.int64], labels: ArrayLike, scores: ArrayLike, draws: NDArray[np.int64]) -> Doubles:
    """(D,) UAUC of each draw: mean of the users' AUCs weighted by multiplicity; users with one class are left out."""
    columns, values = user_aucs(users, labels, scores)
    counted = ~np.isnan(values)
    return bootstrap_mean(values[counted], draws[:, columns[counted]])


def bootstrap_mean(values: Doubles, draws: NDArray[np.int64]) -> Doubles:
    """(D,) or (D, F) mean of each draw over users of their own figures, (U,) or (U, F); NaN is left out."""
    weights, known = draws.astype(float), ~np.isnan(values)
    return _ratio(weights @ np.where(known, values, 0), weights @ known)


def interval(samples: Doubles, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of the draws (percentile interval), without those that have no value."""
    samples = samples[~np.isnan(samples)]
    if not len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """above / below, NaN where below is 0."""
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
