"""Conditional logit: how much each of several scores counts where one thing of a list is chosen (McFadden 1974).

A list offers m things; that thing i is chosen has the probability softmax(w . x)_i over the list, where x_i are the
scores of i. Lists are arrays (L, m, F); a place without anything has the scores NaN. Where several things of a list are
to be found, each of them counts as a choice of its own, and the list as one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Scores = NDArray[np.float64]
FOLDS = 5
"""Of the cross-validation over lists."""
RIDGE = 1e-6
"""Weight of the squared weights, so that a score that says nothing gets none."""


def fit_choice(columns: Scores, relevant: NDArray[np.bool_], used: Sequence[int] | None = None) -> Scores:
    """(F,) the weights of least cross-entropy; 0 for scores that are not among `used`.

    Args:
        columns: (L, m, F) scores.
        relevant: (L, m) what is to be found, something in every list.
        used: places of the scores that may count; None: all.
    """
    used = list(range(columns.shape[-1])) if used is None else list(used)
    spread = np.nanstd(columns, axis=(0, 1))[used]
    scaled = columns[..., used] / np.where(spread > 0, spread, 1)  # of one size, so that one ridge suits all
    wanted = relevant / relevant.sum(1, keepdims=True)

    def loss(weights: Scores) -> tuple[float, Scores]:
        shares = _shares(scaled, weights)
        slope = np.nansum((shares - wanted)[..., None] * scaled, axis=1).mean(0)
        value = float(_losses(shares, relevant).mean()) + RIDGE * float(weights @ weights)
        return value, slope + 2 * RIDGE * weights

    found: Scores = np.zeros(columns.shape[-1])
    found[used] = minimize(loss, np.zeros(len(used)), jac=True, method="L-BFGS-B").x / np.where(spread > 0, spread, 1)
    return found


def choice_losses(columns: Scores, relevant: NDArray[np.bool_], weights: Scores) -> Scores:
    """(L,) mean cross-entropy of what is to be found in each list, by these weights (F,)."""
    return _losses(_shares(columns, weights), relevant)


def tried(columns: Scores, relevant: NDArray[np.bool_], subsets: Sequence[Sequence[int]]) -> list[tuple[float, Scores]]:
    """The held-out loss, and the weights fitted on all lists, with each of these subsets of the scores."""
    return [(held_out_loss(columns, relevant, used), fit_choice(columns, relevant, used)) for used in subsets]


def held_out_loss(columns: Scores, relevant: NDArray[np.bool_], used: Sequence[int] | None = None) -> float:
    """Mean cross-entropy of lists by weights that were fitted on others; of one list alone, on itself."""
    fold = np.random.default_rng(0).permutation(len(columns)) % min(FOLDS, len(columns))
    losses = []
    for k in range(int(fold.max()) + 1):
        rest = fold != k if fold.max() else fold == k
        weights = fit_choice(columns[rest], relevant[rest], used)
        losses.append(choice_losses(columns[fold == k], relevant[fold == k], weights))
    return float(np.concatenate(losses).mean())


def _shares(columns: Scores, weights: Scores) -> Scores:
    """(L, m) softmax of the weighted scores of each list; 0 where there is nothing."""
    scores = columns @ weights
    scores = np.where(np.isnan(scores), -np.inf, scores)
    exponents = np.exp(scores - scores.max(1, keepdims=True))
    shares: Scores = exponents / exponents.sum(1, keepdims=True)
    return shares


def _losses(shares: Scores, relevant: NDArray[np.bool_]) -> Scores:
    losses: Scores = -np.where(relevant, np.log(np.maximum(shares, 1e-30)), 0).sum(1) / relevant.sum(1)
    return losses
