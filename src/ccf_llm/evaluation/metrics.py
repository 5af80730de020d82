"""Figures of merit for log-odds scores of labelled rows, vectorised over users and exact under ties."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ccf_llm.errors import CCFError

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Chance that a liked row scores above a not liked one; ties count half. NaN where one class is missing."""
    labels = np.asarray(labels)
    return (
        float(user_aucs(np.zeros(len(labels), dtype=np.int64), labels, scores)[1][0]) if len(labels) else float("nan")
    )


def uauc(users: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> tuple[float, int]:
    """Plain mean of the users' own AUCs, and the number of users in it.

    A user whose rows are all liked or all not liked has no AUC and is left out; NaN and 0 where that leaves nobody.
    """
    values = user_aucs(users, labels, scores)[1]
    values = values[~np.isnan(values)]
    return (float(values.mean()) if len(values) else float("nan")), len(values)


def user_aucs(users: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[Any], Doubles]:
    """(U,) the distinct users, sorted, and (U,) the AUC of each; NaN for a user with one class."""
    lists = UserLists.of(users, labels, scores)
    # The Mann-Whitney form on ranks counted from the bottom, where the rows of a tie share their mean rank.
    mean_rank = lists.mean_over_ties(lists.size[lists.user] - lists.rank)
    likes = lists.sum_over_users(lists.labels)
    dislikes = lists.size - likes
    above = lists.sum_over_users(lists.labels * mean_rank) - likes * (likes + 1) / 2
    both = (likes > 0) & (dislikes > 0)
    return lists.users, np.divide(above, likes * dislikes, out=np.full(len(both), np.nan), where=both)


def log_loss(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean negative log-likelihood (nats per row) of labels under log-odds `scores`; NaN without rows."""
    labels, scores = _checked(labels, scores)
    return float(np.logaddexp(0, np.where(labels > 0, -scores, scores)).mean()) if len(labels) else float("nan")


def calibration_error(labels: ArrayLike, scores: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: mean |share liked - mean probability| over bins of equal numbers of rows.

    Bins of equal mass (Nixon et al. 2019), since scores gather in the middle and bins of equal width would be empty.
    Rows of equal score share their mean label, so that their order does not matter. NaN without rows.
    """
    if not len(np.asarray(labels)):
        return float("nan")
    lists = UserLists.of(np.zeros(len(np.asarray(labels)), dtype=np.int64), labels, scores)
    gap = lists.mean_over_ties(lists.labels) - np.exp(-np.logaddexp(0, -lists.scores))
    return float(sum(abs(part.sum()) for part in np.array_split(gap, bins)) / len(gap))


def ndcg_at_k(users: ArrayLike, labels: ArrayLike, scores: ArrayLike, k: int = 10) -> float:
    """Mean over users of DCG / ideal DCG of the first k of a user's own rows, ranked by score (gain 1 for a like).

    Users without a liked row are left out; NaN where that leaves nobody. Ties count as their expected value under a
    random order.
    """
    lists = UserLists.of(users, labels, scores)
    discount = np.where(lists.rank < k, 1 / np.log2(lists.rank + 2), 0)
    likes = lists.sum_over_users(lists.labels)
    got = lists.sum_over_users(lists.mean_over_ties(lists.labels) * discount)
    ideal = lists.sum_over_users(discount * (lists.rank < likes[lists.user]))
    return _mean_ratio(got, ideal, likes)


def recall_at_k(users: ArrayLike, labels: ArrayLike, scores: ArrayLike, k: int = 10) -> float:
    """Mean over users of the share of a user's liked rows that are among the first k of the user's own rows.

    It is 1 for a user with at most k rows. Users without a liked row and ties: as in `ndcg_at_k`.
    """
    lists = UserLists.of(users, labels, scores)
    likes = lists.sum_over_users(lists.labels)
    got = lists.sum_over_users(lists.mean_over_ties(lists.labels) * (lists.rank < k))
    return _mean_ratio(got, likes, likes)


@dataclass(frozen=True)
class UserLists:
    """The rows of each user from the highest score down, user by user: arrays are (N,) in that order, or (U,)."""

    users: NDArray[Any]
    """(U,) the distinct users, sorted."""
    size: Doubles
    """(U,) rows of each user."""
    user: Integers
    """(N,) position of the row's user in `users`."""
    labels: Doubles
    """(N,) 0 or 1."""
    scores: Doubles
    """(N,) descending within a user."""
    rank: Doubles
    """(N,) 0 for a user's highest row."""
    tie: Integers
    """(N,) number of the group of rows with the same user and score."""

    @classmethod
    def of(cls, users: ArrayLike, labels: ArrayLike, scores: ArrayLike) -> "UserLists":
        """Sort rows; raises `CCFError` for labels outside {0, 1}, scores that are not finite, or unequal lengths."""
        labels, scores = _checked(labels, scores)
        distinct, user = np.unique(np.asarray(users), return_inverse=True)
        if len(user) != len(labels):
            raise CCFError(f"users: {len(user)} values for {len(labels)} rows; give one per row")
        order = np.lexsort((-scores, user))
        user, labels, scores = user[order].astype(np.int64), labels[order], scores[order]
        size = np.bincount(user, minlength=len(distinct))
        rank = np.arange(len(user)) - (np.cumsum(size) - size)[user]
        new = np.ones(len(user), dtype=bool)
        new[1:] = (user[1:] != user[:-1]) | (scores[1:] != scores[:-1])
        return cls(distinct, size.astype(float), user, labels, scores, rank.astype(float), np.cumsum(new) - 1)

    def sum_over_users(self, values: NDArray[Any]) -> Doubles:
        """(N,) -> (U,)."""
        return np.bincount(self.user, weights=values, minlength=len(self.users)).astype(float)

    def mean_over_ties(self, values: NDArray[Any]) -> Doubles:
        """(N,) -> (N,), each value replaced by the mean of its tie."""
        means: Doubles = np.bincount(self.tie, weights=values) / np.bincount(self.tie)
        return means[self.tie]


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Doubles, Doubles]:
    """Labels and scores as float arrays; raises `CCFError` where a row of them cannot be used."""
    labels, scores = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise CCFError(f"scores: shape {scores.shape} for labels of shape {labels.shape}; give one score per row")
    for name, bad, want in (
        ("labels", (labels != 0) & (labels != 1), "0 or 1"),
        ("scores", ~np.isfinite(scores), "finite log-odds"),
    ):
        if bad.any():
            row = int(bad.argmax())
            raise CCFError(f"{name}: row {row} is {(labels if name == 'labels' else scores)[row]}; give {want}")
    return labels, scores


def _mean_ratio(got: Doubles, possible: Doubles, likes: Doubles) -> float:
    """Mean of got / possible over users with a liked row; NaN where there is none."""
    counted = likes > 0
    return float((got[counted] / possible[counted]).mean()) if counted.any() else float("nan")
