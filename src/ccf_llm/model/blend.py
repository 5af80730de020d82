"""The last step of a score: the language model's log-odds and the CF model's own, weighted."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.hits import in_order, ndcg
from ccf_llm.model.choice import choice_losses, tried

Split = tuple[NDArray[np.int64], NDArray[np.int64]]

K = 10
"""Length of the top of a list."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the language model's weight, that are tried where lists are blended."""
FOLDS = 5
"""Of the cross-validation over users."""


class Blend(nn.Module):
    """score = a * language model + b * CF + c.

    The three numbers come from a logistic regression on valid (stacking, Wolpert 1992). Both models read the same CF
    vectors, but err in different places: one reads them with words and history, the other multiplies them.
    It starts as the language model alone (1, 0, 0). In the ranking task the weights are chosen by lists (`fit_lists`).
    """

    weights: Tensor
    """(3,) a, b, c."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, llm: Floats, cf: Floats) -> Floats:
        """(N,) blended log-odds of (N,) log-odds of both."""
        a, b, c = self.weights.tolist()
        blended: Floats = (a * llm + b * cf + c).astype(np.float32)
        return blended

    def fit(self, llm: Floats, cf: Floats, labels: NDArray[Any], users: NDArray[Any]) -> None:
        """Choose the weights by the labels: both models, or one alone, whichever does best on users held out.

        The few users of a small valid sample can make noise look like knowledge; a cross-validation over users sees
        through most of it. A model whose weight would be negative is left out; where nothing helps, the language model
        stays as it is.

        Args:
            llm, cf: (N,) log-odds of both.
            labels: (N,) 0 or 1.
            users: (N,) whose row each is.
        """
        columns = np.stack([llm, cf], axis=1).astype(np.float64)
        weights = np.array([1.0, 0.0, 0.0])
        best = float(_losses(columns, labels, weights).mean())
        splits = _splits(labels, users)
        for used in ([0, 1], [0], [1]):
            candidate = _regress(columns, labels, used)
            loss = _held_out_loss(columns, labels, splits, used)
            if candidate[:2].min() >= 0 and loss < best:
                best, weights = loss, candidate
        self.weights.copy_(torch.from_numpy(weights))

    def fit_lists(self, llm: Floats, cf: Floats, relevant: NDArray[np.bool_]) -> None:
        """Choose a and b by ranked lists, one a person: (L, m) scores of both, and which items are to be found.

        A place without an item has the score NaN. The weights are those of a conditional logit (`model.choice`). As in
        `fit` both models or one alone, whichever does best on people held out, and a model whose weight would be
        negative is left out. c is 0: it orders nothing.

        The logit looks at all of a list, while people see its top. So of both, a is then what puts most to the top
        among `SHARES` of itself, the least of equals.

        Raises `CCFError` where no list holds anything that is to be found.
        """
        known = relevant.any(1)
        if not known.any():
            raise CCFError("valid: no list holds an item that is to be found; raise ranking.depth or valid_rows")
        columns, relevant = np.stack([llm[known], cf[known]], axis=-1).astype(np.float64), relevant[known]
        start = np.array([1.0, 0.0])
        found = [(float(choice_losses(columns, relevant, start).mean()), start)]
        found += [(loss, fit) for loss, fit in tried(columns, relevant, ([0, 1], [0], [1])) if fit.min() >= 0]
        weights = min(found, key=lambda pair: pair[0])[1]
        if weights.all():
            a, b = weights
            ordered = [in_order(columns @ np.array([share * a, b]), relevant, K) for share in SHARES]
            gains = [ndcg(marks, relevant.sum(1), K).mean() for marks in ordered]
            weights[0] *= SHARES[int(np.argmax(gains))]
        self.weights.copy_(torch.tensor([*weights, 0.0]))


def _regress(columns: NDArray[np.float64], labels: NDArray[Any], used: list[int]) -> NDArray[np.float64]:
    """(3,) weights of a logistic regression on some of the columns."""
    from sklearn.linear_model import LogisticRegression  # a second of every start

    regression = LogisticRegression(C=1e4).fit(columns[:, used], labels)
    weights = np.zeros(3)
    weights[used], weights[2] = regression.coef_[0], regression.intercept_[0]
    return weights


def _splits(labels: NDArray[Any], users: NDArray[Any]) -> list[Split]:
    """Rows to fit on and rows of other users to measure on; all rows for both where that cannot be."""
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(np.unique(users)))
    splits = list(GroupKFold(folds).split(labels, labels, users)) if folds > 1 else []
    if splits and all(len(np.unique(labels[rest])) == 2 for rest, _ in splits):
        return splits
    return [(np.arange(len(labels)), np.arange(len(labels)))]


def _held_out_loss(columns: NDArray[np.float64], labels: NDArray[Any], splits: list[Split], used: list[int]) -> float:
    """Mean cross-entropy of rows by weights that were fitted on others."""
    losses = np.zeros(len(labels))
    for rest, held in splits:
        losses[held] = _losses(columns[held], labels[held], _regress(columns[rest], labels[rest], used))
    return float(losses.mean())


def _losses(columns: NDArray[np.float64], labels: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) cross-entropy of the weighted log-odds."""
    scores = columns @ weights[:2] + weights[2]
    losses: NDArray[np.float64] = np.logaddexp(0, scores) - labels * scores
    return losses
