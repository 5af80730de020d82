"""The last step of a score: the language model's log-odds and the CF model's own, weighted."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

Floats = NDArray[np.float32]


class Blend(nn.Module):
    """score = a * language model + b * CF + c.

    The three numbers come from a logistic regression on valid (stacking, Wolpert 1992). Both models read the same CF
    vectors, but err in different places: one reads them with words and history, the other multiplies them.
    It starts as the language model alone (1, 0, 0).
    """

    weights: Tensor
    """(3,) a, b, c."""

    def __init__(self) -> None:
        """The language model alone."""
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, llm: Floats, cf: Floats) -> Floats:
        """(N,) blended log-odds of (N,) log-odds of both."""
        a, b, c = self.weights.tolist()
        blended: Floats = (a * llm + b * cf + c).astype(np.float32)
        return blended

    def fit(self, llm: Floats, cf: Floats, labels: NDArray[Any]) -> None:
        """Choose the weights by the labels.

        A model whose weight would be negative is left out; where neither helps, the language model stays alone.
        """
        columns = np.stack([llm, cf], axis=1).astype(np.float64)
        weights = np.array([1.0, 0.0, 0.0])
        for used in ([0, 1], [0], [1]):
            regression = LogisticRegression(C=1e4).fit(columns[:, used], labels)
            if regression.coef_.min() >= 0:
                candidate = np.zeros(3)
                candidate[used], candidate[2] = regression.coef_[0], regression.intercept_[0]
                if len(used) == 2 or _loss(columns, labels, candidate) < _loss(columns, labels, weights):
                    weights = candidate
                if len(used) == 2:
                    break
        self.weights.copy_(torch.from_numpy(weights))


def _loss(columns: NDArray[np.float64], labels: NDArray[Any], weights: NDArray[np.float64]) -> float:
    """Mean cross-entropy of the weighted log-odds."""
    scores = columns @ weights[:2] + weights[2]
    return float(np.mean(np.logaddexp(0, scores) - labels * scores))
