"""CF models that have not seen the labels of the rows that the language model is trained on.

A CF model fitted on all training rows knows their labels and looks far better on them than on later rows. A
language model trained on such vectors learns to trust them far too much. Cross-fitting (out-of-fold prediction,
as in stacking) cures it: each training row is read through a model fitted without it.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.mf import MF
from ccf_llm.data.rows import Rows


def cross_fit(reference: MF, train: Rows, folds: NDArray[np.int64], fit: Callable[[Rows], MF]) -> list[MF]:
    """One model per fold, fitted without the rows of that fold, in the space of `reference`.

    Factors are only determined up to a rotation, so each model is rotated onto the reference (orthogonal Procrustes on
    the items, weighted by their training rows); its scores do not change.

    Args:
        reference: the model fitted on all of `train`.
        folds: (N,) fold of each training row, 0..K-1.
        fit: fits a model on the rows that it is given.
    """
    return [align(fit(train.take(folds != fold)), reference) for fold in range(int(folds.max()) + 1)]


@torch.no_grad()
def align(model: MF, reference: MF) -> MF:
    """Rotate the factors of `model`, in place, as close as possible to those of `reference` (Schönemann 1966)."""
    weight = (model.item_counts * reference.item_counts).sqrt().unsqueeze(1)
    ours, theirs = model.items[:, :-1] * weight, reference.items[:, :-1] * weight
    left, _, right = torch.linalg.svd(ours.T @ theirs)
    model.rotate(left @ right)
    return model
