"""What a stage's steps make small."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.cf.base import CFModel
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence
from ccf_llm.training.data import TrainingData
from ccf_llm.training.stage import StageConfig
from ccf_llm.training.steps import row_weights


class RatingObjective:
    """Weighted mean cross-entropy on labels; a residual one adds the CF log-odds to the language model's.

    Args:
        model: whose CF log-odds a residual stage adds.
        data: the rows, and the CF models that read them.
        stage: says how rows weigh, and whether it is residual.
        packs: all that the stage will read.
    """

    def __init__(self, model: CCFNetwork, data: TrainingData, stage: StageConfig, packs: list[Sequence]) -> None:
        self.data = data
        self.row_weight = torch.from_numpy(row_weights(data.train, stage.user_balance)).to(model.device)
        self.residual = _cf_log_odds(model, data, packs) if stage.residual and model.blends else None

    def weight(self, packs: list[Sequence]) -> Tensor:
        """() what all targets of the packs weigh."""
        return self.row_weight[_rows_of(packs)].sum()

    def loss(self, model: CCFNetwork, packs: list[Sequence]) -> Tensor:
        """() the sum of the targets' weighted losses, with a gradient to the weights that are trained."""
        train, rows = self.data.train, _rows_of(packs)
        labels = torch.from_numpy(train.labels[rows]).float().to(model.device)
        score = model(packs, train, self.data.cf_of(packs))
        if self.residual is not None:
            score = score + self.residual[rows]
        losses = F.binary_cross_entropy_with_logits(score, labels, reduction="none")
        return losses @ self.row_weight[rows]


def _rows_of(packs: list[Sequence]) -> list[int]:
    return [row for pack in packs for row in pack.rows]


def _cf_log_odds(model: CCFNetwork, data: TrainingData, packs: list[Sequence]) -> Tensor:
    """(N,) CF log-odds of the rows of `packs`, each by the CF model that it is read with; 0 for all others."""
    rows_of: dict[CFModel, list[int]] = {}
    for row in sorted(set(_rows_of(packs))):
        rows_of.setdefault(data.cf_of_row(row) if data.cf_of_row else model.cf, []).append(row)
    found = np.zeros(len(data.train), dtype=np.float32)
    for cf, rows in rows_of.items():
        found[rows] = cf.score(data.train.take(np.asarray(rows)))
    return torch.from_numpy(found).to(model.device)
