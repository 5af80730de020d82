"""The rating task: will the user like this item? Learned from labels, chosen by valid AUC."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence, plan_sequences
from ccf_llm.training.categories import category_head
from ccf_llm.training.data import TrainingData
from ccf_llm.training.objective import Measured, cf_scores, check_finite, empty_slots, language_scores, rows_of
from ccf_llm.training.stage import BatchConfig, StageConfig
from ccf_llm.training.steps import row_weights, sample_users


class RatingObjective:
    """Weighted mean cross-entropy on labels; a residual one adds the CF log-odds to the language model's.

    Args:
        model: what is trained.
        data: the rows, and the CF models that read them.
        stage: says how rows weigh, whether it is residual, and how many rows are measured.
        seed: of the draw of measured rows.
    """

    def __init__(self, model: CCFNetwork, data: TrainingData, stage: StageConfig, seed: int) -> None:
        """Raises `CCFError` where the measured rows are of one class."""
        self.model, self.data, self.stage = model, data, stage
        self.row_weight = torch.from_numpy(row_weights(data.train, stage.user_balance)).to(model.device)
        self.measured = sample_users(data.valid, stage.valid_rows, seed, stage.valid_user_rows)
        self.residual: Tensor | None = None
        self.head = category_head(model, data, stage)
        if len(np.unique(self.measured.labels)) < 2:
            raise CCFError(
                f"valid: the {len(self.measured)} rows measured are all of one class; raise valid_rows or split "
                "otherwise"
            )

    def plan(self, batch: BatchConfig) -> list[Sequence]:
        """All training rows as packs of one user each."""
        return plan_rows(self.model, self.data.train, batch)

    def begin(self, packs: list[Sequence]) -> None:
        """Compute the CF log-odds of what a residual stage will read."""
        if self.stage.residual and self.model.blends:
            self.residual = cf_scores(self.model, self.data, rows_of(packs))

    def weight(self, packs: list[Sequence]) -> Tensor:
        """() what all targets of the packs weigh."""
        return self.row_weight[rows_of(packs)].sum()

    def loss(self, packs: list[Sequence]) -> Tensor:
        """() the sum of the targets' weighted losses."""
        train, rows = self.data.train, rows_of(packs)
        labels = torch.from_numpy(train.labels[rows]).float().to(self.model.device)
        empty = empty_slots(packs, self.stage, self.model.device)
        hidden = self.model.read(packs, train, self.data.cf_of(packs), empty)
        score = self.model.llm.answer(hidden)
        if self.residual is not None:
            score = score + self.residual[rows]
        losses = F.binary_cross_entropy_with_logits(score, labels, reduction="none")
        if self.head is not None:
            losses = losses + self.stage.category_weight * self.head(hidden, train.items[rows])
        return losses @ self.row_weight[rows]

    def measure(self, memory_mb: int, *, asked: bool = True) -> Measured:
        """AUC and UAUC of the blended score; AUC of the language model alone."""
        model, rows = self.model, self.measured
        llm = language_scores(model, rows, memory_mb, asked)
        cf = model.cf.score(rows) if model.blends else None
        check_finite(llm, cf)
        scores = llm
        if cf is not None:
            model.blend.fit(llm, cf, rows.labels, rows.users)
            scores = model.blend(llm, cf)
        value, alone = auc(rows.labels, scores), auc(rows.labels, llm) if asked else 0.0
        within, users = uauc(rows.users, rows.labels, scores)
        point = {
            "auc": round(value, 5),
            "uauc": round(within, 5) if users else None,
            "llm_auc": round(alone, 5) if asked else None,
        }
        return Measured(value, alone, point)


def plan_rows(model: CCFNetwork, train: Rows, batch: BatchConfig) -> list[Sequence]:
    """All training rows as packs."""
    return plan_sequences(
        train, model.encoder, model.budget, max_tokens=batch.sequence_tokens, max_rows=batch.training_pack
    )
