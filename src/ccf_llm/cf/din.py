"""Deep interest network (DIN; Zhou et al. 2018): attention from the candidate to the history."""

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ccf_llm.cf.labels import LabelModel
from ccf_llm.cf.settings import CFConfig, DINConfig
from ccf_llm.cf.tables import factor_penalty, fill_unseen, start_table
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.randomness import seeded


class DIN(LabelModel):
    """What of the history counts depends on the candidate:

        v(u, i)     = p_u + mean over liked items j of w(i, j) q_j,  w = MLP[q_j, q_i, q_j * q_i, q_j - q_i]
        score(u, i) = MLP[v, q_i, v * q_i] + b_u + b_i + offset

    The weights are not normalised by a softmax, as in the paper; the mean instead of its sum keeps users of long and
    short histories at one scale. Biases are added, as in every model here.

    A user vector for others to read must do without a candidate: it is [p_u + mean q_j, b_u], the interest at equal
    weights. Liked items without a training row say nothing. Unseen items have the mean vector of the seen ones, unseen
    users the mean p and bias, so that their history alone speaks.
    """

    kind: ClassVar[str] = "din"
    config_type: ClassVar[type[CFConfig]] = DINConfig
    name: ClassVar[str] = "din"
    scores_by_product: ClassVar[bool] = False
    config: DINConfig

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Vectors start at normal noise of .05, biases at 0, networks as torch does but for weights w of about 1."""
        super().__init__(n_users, n_items, config)
        dim, hidden = self.config.dim, self.config.hidden
        generator = torch.Generator().manual_seed(seed)
        self.users = nn.Parameter(start_table(n_users + 1, dim, generator))
        self.items = nn.Parameter(start_table(n_items + 1, dim, generator))
        with seeded(seed):
            last = nn.Linear(hidden, 1)
            nn.init.ones_(last.bias)
            self.weigh = nn.Sequential(nn.Linear(4 * dim, hidden), nn.PReLU(), last)
            dropout = nn.Dropout(self.config.dropout)
            self.network = nn.Sequential(dropout, nn.Linear(3 * dim, hidden), nn.PReLU(), nn.Linear(hidden, 1))

    def item_vectors(self, items: Tensor) -> Tensor:
        """Looked up."""
        return self.items[items]

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """[p_u + mean q_j, b_u]: the interest at equal weights."""
        return self._interest(users, history, torch.ones_like(history, dtype=self.items.dtype))

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds: (B,), (B, H), (B,) -> (B,)."""
        item = self.items[items]
        q, liked = item[:, :-1], self.items[history][..., :-1]
        target = q.unsqueeze(1).expand_as(liked)
        weights = self.weigh(torch.cat([liked, target, liked * target, liked - target], dim=-1)).squeeze(-1)  # (B, H)
        user = self._interest(users, history, weights)
        v = user[:, :-1]
        deep: Tensor = self.network(torch.cat([v, q, v * q], dim=-1)).squeeze(-1)
        return deep + user[:, -1] + item[:, -1] + self.offset

    def score_catalogue(self, user: int, history: Codes) -> NDArray[np.float32]:
        """(n_items,) log-odds of every item for one user: each item weighs the history anew."""
        return self.score(Rows.for_candidates(history, np.arange(1, self.n_items + 1), user=user))

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Of the factors of users and candidates."""
        return factor_penalty(self.users[users]) + factor_penalty(self.items[items])

    def end_pass(self, last: Rows) -> None:
        """Give codes without a training row the mean vector."""
        fill_unseen(self.users, self.user_counts)
        fill_unseen(self.items, self.item_counts)

    def _interest(self, users: Tensor, history: Tensor, weights: Tensor) -> Tensor:
        """[v, b_u] (B, d + 1) with weights (B, H) on the histories."""
        known = (self.item_counts[history] > 0).to(weights.dtype)
        weights = weights * known / known.sum(1, keepdim=True).clamp(min=1)
        pooled = torch.einsum("bh,bhd->bd", weights, self.items[history][..., :-1])
        user = self.users[users]
        return torch.cat([user[:, :-1] + pooled, user[:, -1:]], dim=1)
