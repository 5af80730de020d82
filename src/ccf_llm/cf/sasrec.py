"""Self-attentive sequential recommendation (SASRec; Kang and McAuley 2018), trained with cross-entropy on labels."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.attention import Block
from ccf_llm.cf.labels import LabelModel
from ccf_llm.cf.settings import CFConfig, SASRecConfig
from ccf_llm.cf.tables import factor_penalty, fill_unseen, start_table
from ccf_llm.data.rows import Rows
from ccf_llm.randomness import seeded


class SASRec(LabelModel):
    """p_u is the state of a causal transformer at the last of the user's liked items; q_i is the item's own vector,
    which the sequence is made of too. Biases b_u and b_i are looked up, as in every model here (the paper ranks the
    items of one user and needs none).

    Positions are counted from the newest like backwards. Liked items without a training row are left out of attention,
    as padding is; a user without any other has a learned state. Unseen items have the mean vector of the seen ones,
    unseen users the mean bias.
    """

    kind: ClassVar[str] = "sasrec"
    config_type: ClassVar[type[CFConfig]] = SASRecConfig
    name: ClassVar[str] = "sasrec"
    config: SASRecConfig

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Vectors start at normal noise of .05, biases and the state without history at 0, blocks as torch does."""
        super().__init__(n_users, n_items, config)
        settings, dim = self.config, self.config.dim
        generator = torch.Generator().manual_seed(seed)
        self.items = nn.Parameter(start_table(n_items + 1, dim, generator))
        self.positions = nn.Parameter(0.05 * torch.randn(settings.history_length, dim, generator=generator))
        self.user_bias = nn.Parameter(torch.zeros(n_users + 1))
        self.no_history = nn.Parameter(torch.zeros(dim))
        with seeded(seed):
            self.blocks = nn.ModuleList(Block(dim, settings.heads, settings.dropout) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(dim)

    def item_vectors(self, items: Tensor) -> Tensor:
        """Looked up."""
        return self.items[items]

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """State of the last liked item and looked-up bias; without dropout, whatever the mode."""
        # Candidates of one user share their history: one pass serves all of them.
        distinct, row = torch.unique(history, dim=0, return_inverse=True)
        return self._with_bias(self._states(distinct, dropping=False)[row], users)

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds: (B,), (B, H), (B,) -> (B,); with dropout in training."""
        if not self.training:
            return super().forward(users, history, items)
        return self.match(self._with_bias(self._states(history, dropping=True), users), self.items[items])

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Of the candidates' factors."""
        return factor_penalty(self.items[items])

    @torch.no_grad()
    def end_pass(self, last: Rows) -> None:
        """Give codes without a training row the mean vector or bias."""
        fill_unseen(self.items, self.item_counts)
        fill_unseen(self.user_bias, self.user_counts)

    def _with_bias(self, states: Tensor, users: Tensor) -> Tensor:
        """(B, d + 1) user vectors from states (B, d) and codes (B,)."""
        return torch.cat([states, self.user_bias[users].unsqueeze(1)], dim=1)

    def _states(self, history: Tensor, *, dropping: bool) -> Tensor:
        """(B, d) state of the last liked item of each history (B, H)."""
        dropout = self.config.dropout if dropping else 0.0
        # Liked items without a training row go, the rest moves up to the right end: padding is on the left only.
        known = self.item_counts[history] > 0
        order = torch.sort(known, dim=1, stable=True).indices
        history, known = history.gather(1, order), known.gather(1, order)
        longest = max(1, int(known.sum(1).max())) if len(known) else 1
        history, known = history[:, -longest:], known[:, -longest:]
        sequence = F.dropout(self.items[history][..., :-1] + self.positions[-longest:], dropout)
        for block in self.blocks[:-1]:
            sequence = block(sequence, sequence, known, dropout)
        # Only the state of the last position is read, so the last block computes no other.
        last = self.norm(self.blocks[-1](sequence[:, -1:], sequence, known, dropout)).squeeze(1)
        return torch.where(known[:, -1:], last, self.no_history)
