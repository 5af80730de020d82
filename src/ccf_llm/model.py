"""CCFNetwork: CF model + prompts + language model + fusion -> log-odds that a user likes an item."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Rows
from ccf_llm.fusion import FusionConfig, FusionPair, fill_slots, to_norm
from ccf_llm.llm.base import LanguageModel
from ccf_llm.prompts import (
    ITEM_SLOT,
    USER_SLOT,
    HistoryBudget,
    PromptBatch,
    PromptEncoder,
    collate,
    plan_batches,
    plan_sequences,
)


class CCFNetwork(nn.Module):
    """Hybrid prompts through a language model whose slots carry fused embeddings.

    It knows codes and tensors only; `CCFLLM` is this network together with the ids of its users and items.

    Args:
        llm: base model with adapter and answer head.
        encoder: prompts over the catalogue.
        cf: a fitted collaborative model over the same codes.
        fusion: settings of alignment and gate.
        budget: which part of a history goes into the prompt.
        seed: of the fusion's initial weights.
    """

    semantic: Tensor
    """(n_items + 1, d) semantic embeddings of the items: mean of the title's token embeddings, at token norm."""

    def __init__(
        self,
        llm: LanguageModel,
        encoder: PromptEncoder,
        cf: CFModel,
        fusion: FusionConfig,
        budget: HistoryBudget,
        seed: int = 0,
    ) -> None:
        """Look up the answers and the titles' semantic embeddings, and put fresh fusion networks in place."""
        super().__init__()
        self.llm, self.encoder, self.cf, self.budget = llm, encoder, cf, budget
        llm.set_answers(*encoder.answer_ids())
        self.token_norm = llm.token_norm
        self.register_buffer("semantic", self._semantic(), persistent=False)
        self.set_fusion(fusion, seed)

    def set_fusion(self, config: FusionConfig, seed: int = 0) -> None:
        """Put fresh alignment and gate networks in place."""
        torch.manual_seed(seed)
        items = torch.arange(self.cf.n_items + 1, device=self.cf.device)
        self.fusion_config = config
        self.fusion = FusionPair(
            config,
            users=self._trained_users()[self.cf.user_counts > 0],
            items=self.cf.item_embedding(items).detach()[self.cf.item_counts > 0],
            width=self.llm.width,
            token_norm=self.token_norm,
        ).to(self.device)

    def part(self, name: Literal["lora", "fusion", "cf"]) -> dict[str, nn.Parameter]:
        """The weights of one trainable part, by name."""
        if name == "lora":
            return self.llm.adapter()
        return dict((self.fusion if name == "fusion" else self.cf).named_parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.llm.head.device

    def forward(self, batch: PromptBatch, rows: Rows, cf: Sequence[CFModel] | None = None) -> Tensor:
        """(N,) fp32 log-odds of the batch's targets, as the language model gives them.

        Args:
            batch: what goes through the language model.
            rows: the rows that were planned.
            cf: for each of the B sequences the CF model to read it with (in training: one that has not seen its rows);
                None reads all with the own one.
        """
        embeddings = self.embed(batch, rows, cf or [self.cf] * len(batch.ids))
        score: Tensor = self.llm(embeddings, batch.positions, batch.mask, batch.answers)
        return score

    def embed(self, batch: PromptBatch, rows: Rows, cf: Sequence[CFModel]) -> Tensor:
        """(B, T, d) input embeddings: tokens looked up, slots filled, each sequence with its own CF model's vectors."""
        tokens: Tensor = self.llm.embeddings(batch.ids.clamp(min=0))
        for model in dict.fromkeys(cf):
            mine = torch.tensor([other is model for other in cf], device=tokens.device).unsqueeze(1)
            item_index = (mine & (batch.ids == ITEM_SLOT)).nonzero()
            user_index = (mine & (batch.ids == USER_SLOT)).nonzero()
            items = batch.slot_items[item_index[:, 0], item_index[:, 1]]
            targets = batch.slot_targets[user_index[:, 0], user_index[:, 1]].cpu().numpy()
            # The same item stands in many slots of a batch: fuse it once.
            unique, where = torch.unique(items, return_inverse=True)
            tokens = fill_slots(tokens, self.fuse_items(unique, model)[0][where], item_index)
            tokens = fill_slots(tokens, self.fuse_users(rows.take(batch.rows[targets]), model)[0], user_index)
        return tokens

    def fuse_items(self, items: Tensor, cf: CFModel) -> tuple[Tensor, Tensor]:
        """Fused embeddings (S, d) and collaborative shares (S,) of item codes (S,)."""
        fused, share = self.fusion.item(self.semantic[items], cf.item_embedding(items), cf.item_counts[items])
        return fused, share

    def fuse_users(self, rows: Rows, cf: CFModel) -> tuple[Tensor, Tensor]:
        """Fused embeddings (N, d) and collaborative shares (N,) of the users of `rows`, with their histories."""
        users, history, _ = cf.inputs(rows)
        liked = (history > 0).float()
        mean = torch.einsum("nh,nhd->nd", liked, self.semantic[history]) / liked.sum(1, keepdim=True).clamp(min=1)
        fused, share = self.fusion.user(
            to_norm(mean, self.token_norm), cf.user_embedding(users, history), cf.user_counts[users]
        )
        return fused, share

    def score(self, rows: Rows, **sizes: Any) -> NDArray[np.float32]:
        """(N,) log-odds that the user likes the item: the language model's, blended with CF's if so configured.

        Takes the arguments of `language_scores`.
        """
        llm = self.language_scores(rows, **sizes)
        return self.fusion.blend(llm, self.cf.score(rows)) if self.fusion_config.blends else llm

    @torch.no_grad()
    def language_scores(
        self,
        rows: Rows,
        *,
        max_rows: int | None = None,
        sequence_tokens: int = 768,
        batch_tokens: int = 3072,
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """(N,) log-odds of the language model alone.

        Args:
            rows: what to score.
            max_rows: most targets of one packed sequence; 1 gives each its separate prompt.
            sequence_tokens: longest packed sequence.
            batch_tokens: tokens that go through the model at once, padding included.
            progress: told how many rows each batch has scored.
        """
        was_training = self.training
        self.eval()
        sequences = plan_sequences(rows, self.encoder, self.budget, max_tokens=sequence_tokens, max_rows=max_rows)
        scores = np.zeros(len(rows), dtype=np.float32)
        for group in plan_batches(sequences, batch_tokens=batch_tokens):
            batch = collate(group).to(self.device)
            scores[batch.rows] = self(batch, rows).cpu().numpy()
            if progress is not None:
                progress(len(batch.rows))
        self.train(was_training)
        return scores

    @torch.no_grad()
    def _semantic(self) -> Tensor:
        """Mean token embedding of every title, at token norm; row 0 (no item) is zero."""
        table = torch.zeros(len(self.encoder.titles), self.llm.width, device=self.device)
        for item in range(1, len(table)):
            ids = torch.from_numpy(self.encoder.title(item)).to(table.device)
            table[item] = self.llm.embeddings(ids).mean(0)
        return to_norm(table, self.token_norm)

    @torch.no_grad()
    def _trained_users(self) -> Tensor:
        """(n_users + 1, c) CF vectors of all user codes, without history."""
        users = torch.arange(self.cf.n_users + 1, device=self.cf.device)
        return self.cf.user_embedding(users, users.new_zeros(len(users), 1))
