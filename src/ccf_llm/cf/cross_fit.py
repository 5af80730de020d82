"""CF models that have not seen the labels of the rows that something else is trained on.

A CF model fitted on all training rows knows their labels and looks far better on them than on later rows. A
language model trained on such vectors learns to trust them far too much. Cross-fitting (out-of-fold prediction,
as in stacking) cures it: each training row is read through a model fitted without it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Codes, Rows

M = TypeVar("M", bound=CFModel)


def cross_fit(reference: M, train: Rows, folds: NDArray[np.int64], fit: Callable[[Rows], M]) -> list[M]:
    """One model per fold, fitted without the rows of that fold, in the space of `reference`.

    Factors are only determined up to a rotation, so each model is turned onto the reference (orthogonal Procrustes on
    the items, weighted by their training rows); its scores do not change.

    Args:
        reference: the model fitted on all of `train`.
        folds: (N,) fold of each training row, 0..K-1.
        fit: fits a model on the rows that it is given.
    """
    return [align(fit(train.take(folds != fold)), reference) for fold in range(int(folds.max()) + 1)]


@torch.no_grad()
def align(model: M, reference: M, known: Codes | None = None) -> M:
    """Turn the vectors that `model` shows, in place, as close as possible to those of `reference` (Schönemann 1966).

    The bias, which every kind keeps apart from its factors, means the same in both and is not turned. The two may lie
    on different devices. `known` (n_items + 1,) is the reference's code of each item code of `model`, 0 for an item
    that it does not know; None: both have the same codes.
    """
    codes = torch.arange(model.n_items + 1)
    theirs_of = codes if known is None else torch.from_numpy(known)
    ours = model.item_vectors(codes.to(model.device))[:, :-1]
    theirs = reference.item_embedding(theirs_of.to(reference.device))[:, :-1].to(ours)
    weight = model.item_counts * reference.item_counts[theirs_of.to(reference.device)].to(ours)
    left, _, right = torch.linalg.svd((ours * weight.unsqueeze(1)).T @ theirs)
    model.rotation.copy_(left @ right)
    return model


def assign_folds(
    groups: Iterable[Sequence[int] | Codes], rows: Rows, *, folds: int, whole_users: float, seed: int
) -> Codes:
    """(N,) fold of each row, 0..folds - 1; the rows of a group (row numbers of one user) share theirs.

    For the share `whole_users` of users all rows lie in one fold: to that fold's model they are cold. For the others it
    knows the rest of their rows. So whatever is trained on top meets cold and warm users, as it will later.
    """
    generator = np.random.default_rng(seed)
    fold_of_user = generator.integers(0, folds, int(rows.users.max()) + 1)
    whole = generator.random(len(fold_of_user)) < whole_users
    assigned = np.zeros(len(rows), dtype=np.int64)
    for group in groups:
        user = rows.users[group[0]]
        assigned[group] = fold_of_user[user] if whole[user] else generator.integers(0, folds)
    return assigned
