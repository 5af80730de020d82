"""The ranking task: which items next? Learned from lists with something to be found in them, chosen by valid NDCG."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccf_llm.model.choice import fit_choice
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence, plan_sequences
from ccf_llm.training.categories import category_head
from ccf_llm.training.data import ListData
from ccf_llm.training.objective import Measured, cf_scores, check_finite, empty_slots, language_scores, rows_of
from ccf_llm.training.stage import BatchConfig, StageConfig

K = 10
"""Length of the lists that states are chosen by."""


class RankingObjective:
    """Softmax cross-entropy of each item to be found against those of its list that are not; mean over the list. A
    `pointwise` one is the cross-entropy of each item by itself.

    A residual one adds a times the retriever's score, with `a` fitted first: training begins near the retriever's
    order, and what the language model learns is what the retriever does not know.

    Args:
        model: what is trained.
        data: the lists, and the CF models that read them.
        stage: says whether it is residual, and how many rows are measured.
        seed: of the draw of measured people.
    """

    def __init__(self, model: CCFNetwork, data: ListData, stage: StageConfig, seed: int) -> None:
        self.model, self.data, self.stage = model, data, stage
        self.residual: Tensor | None = None
        self.head = category_head(model, data, stage)
        people = len(data.valid)
        if stage.valid_rows is not None:
            people = min(people, max(1, stage.valid_rows // data.valid.items.shape[1]))
        self.measured = data.valid.take(np.sort(np.random.default_rng(seed).permutation(len(data.valid))[:people]))

    def plan(self, batch: BatchConfig) -> list[Sequence]:
        """Each list is a pack: one prefix, a branch for each item."""
        train, size = self.data.train, self.data.size
        packs = plan_sequences(train, self.model.encoder, self.model.budget, max_rows=size)
        assert all(len({row // size for row in pack.rows}) == 1 and len(pack.rows) == size for pack in packs)
        return packs

    def begin(self, packs: list[Sequence]) -> None:
        """Fit what the retriever's score counts in the lists that will be read."""
        if not (self.stage.residual and self.model.blends):
            return
        rows, size = np.unique(rows_of(packs)), self.data.size  # a list may be read in several epochs
        scores = cf_scores(self.model, self.data, list(rows))
        columns = scores[rows].cpu().numpy().reshape(-1, size, 1).astype(np.float64)
        a = fit_choice(columns, self.data.train.labels[rows].reshape(-1, size) == 1)
        self.residual = float(max(a[0], 0)) * scores

    def weight(self, packs: list[Sequence]) -> float:
        """Each list weighs 1."""
        return float(len(packs))

    def loss(self, packs: list[Sequence]) -> Tensor:
        """() the sum of the lists' losses."""
        rows, size = rows_of(packs), self.data.size
        empty = empty_slots(packs, self.stage, self.model.device)
        hidden = self.model.read(packs, self.data.train, self.data.cf_of(packs), empty)
        own = self.model.llm.answer(hidden).reshape(-1, size)
        score = own if self.residual is None else own + self.residual[rows].reshape(-1, size)
        wanted = torch.from_numpy(self.data.train.labels[rows].reshape(-1, size) == 1).to(score.device)
        losses = rating_losses(score, wanted, ~wanted) if self.stage.pointwise else list_losses(score, wanted)
        if self.stage.rating_weight and self.data.disliked is not None:
            disliked = torch.from_numpy(self.data.disliked[rows].reshape(-1, size)).to(score.device)
            losses = losses + self.stage.rating_weight * rating_losses(own, wanted, disliked)
        if self.head is not None:
            told = self.head(hidden, self.data.train.items[rows]).reshape(-1, size)
            losses = losses + self.stage.category_weight * told.mean(1)
        return losses.sum()

    def measure(self, memory_mb: int, *, asked: bool = True) -> Measured:
        """NDCG of the lists in the order of the blended score, and in that of the language model alone."""
        model, lists = self.model, self.measured
        rows = lists.rows()
        scores = language_scores(model, rows, memory_mb, asked)
        check_finite(scores)
        llm = lists.laid_out(scores)
        alone = lists.ndcg(llm, K) if asked else 0.0
        value = alone
        if model.blends:
            retriever = model.cf.score(rows)
            model.blend.fit_lists(llm, lists.laid_out(retriever), lists.relevant)
            value = lists.ndcg(lists.laid_out(model.blended(scores, retriever, rows)), K)
        weights = [round(float(weight), 4) for weight in model.blend.weights[:2]]
        point: dict[str, float | None] = {
            f"ndcg@{K}": round(value, 5),
            f"llm_ndcg@{K}": round(alone, 5) if asked else None,
            "a": weights[0],
            "b": weights[1],
        }
        return Measured(value, alone, point)


def list_losses(scores: Tensor, wanted: Tensor) -> Tensor:
    """(L,) losses of lists with scores (L, size) and something wanted (L, size) in each."""
    others = scores.masked_fill(wanted, -torch.inf).logsumexp(1, keepdim=True)
    losses = F.softplus(others - scores) * wanted  # log(1 + sum of exp(other - wanted))
    return losses.sum(1) / wanted.sum(1)


def rating_losses(scores: Tensor, liked: Tensor, disliked: Tensor) -> Tensor:
    """(L,) mean cross-entropy of log-odds (L, size) over what people have said they like or dislike (L, size)."""
    told = liked | disliked
    losses = F.binary_cross_entropy_with_logits(scores, liked.to(scores), reduction="none") * told
    return losses.sum(1) / told.sum(1).clamp(min=1)
