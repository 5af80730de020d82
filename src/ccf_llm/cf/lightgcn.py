"""LightGCN (He et al. 2020): vectors smoothed along the graph of likes, trained with cross-entropy on labels."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccf_llm.cf.labels import LabelModel
from ccf_llm.cf.settings import CFConfig, LightGCNConfig
from ccf_llm.cf.tables import factor_penalty, fill_unseen, start_table
from ccf_llm.data.rows import Rows


class LightGCN(LabelModel):
    """Users and items have a vector each, smoothed along the graph of liked training interactions:

        p_u^(k+1) = sum over liked items i of q_i^(k) / sqrt(n_u n_i),  q_i^(k+1) likewise,  n = number of likes
        p_u = mean over k = 0..K of p_u^(k),  q_i likewise,  score = p_u . q_i + b_u + b_i + offset

    Biases are added, as in every model here. With labels as the target, the edge of a training row gives its label
    away, since a row without an edge was not liked; so the graph of a training step lacks the edges of the step's own
    rows (as is usual in link prediction).

    A fitted model holds the smoothed vectors and no graph; further training moves these. Unseen items have
    the mean vector of the seen ones. An unseen user starts from the mean p^(0) and takes the steps along the likes of
    the history, as a training user with these likes would; without likes that training has seen, it is the mean user.
    """

    kind: ClassVar[str] = "lightgcn"
    config_type: ClassVar[type[CFConfig]] = LightGCNConfig
    name: ClassVar[str] = "lightgcn"
    item_tables: ClassVar[tuple[str, ...]] = ("item_counts", "items", "messages")
    config: LightGCNConfig

    messages: Tensor
    """(n_items + 1, d) what a liked item adds to an unseen user, to be divided by the root of the user's likes: the sum
    over k < K of q_i^(k) / sqrt(n_i), divided by K + 1."""
    start: Tensor
    """(d,) the mean p^(0), divided by K + 1."""

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """The vectors before smoothing start at normal noise of .05, biases at 0."""
        super().__init__(n_users, n_items, config)
        self.seed = seed
        self.users = nn.Parameter(torch.zeros(n_users + 1, self.dim))
        self.items = nn.Parameter(torch.zeros(n_items + 1, self.dim))
        self.register_buffer("messages", torch.zeros(n_items + 1, self.config.dim))
        self.register_buffer("start", torch.zeros(self.config.dim))
        self.graph: LikeGraph | None = None

    def begin_fit(self, train: Rows) -> None:
        """Make the graph, which holds the vectors before smoothing."""
        self.graph = LikeGraph(train, self.n_users, self.n_items, self.config, self.seed).to(self.device)

    def end_pass(self, last: Rows) -> None:
        """Smooth the vectors along the whole graph, and fill in those that it says nothing of."""
        assert self.graph is not None
        with torch.no_grad():
            layers = self.graph.layers()
            for table, ego, side in ((self.users, self.graph.users, 0), (self.items, self.graph.items, 1)):
                table.copy_(_with_bias(torch.stack([layer[side] for layer in layers]).mean(0), ego))
            sent = torch.stack([items for _, items in layers[:-1]]).sum(0)
            self.messages.copy_(sent * self.graph.item_norm.unsqueeze(1) / len(layers))
            self.start.copy_(self.graph.users[self.user_counts > 0, :-1].mean(0) / len(layers))
        fill_unseen(self.users, self.user_counts)
        fill_unseen(self.items, self.item_counts)

    def end_fit(self) -> None:
        """Leave the graph behind."""
        self.graph = None

    def item_vectors(self, items: Tensor) -> Tensor:
        """Looked up."""
        return self.items[items]

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """Looked up, or from the history where training has not seen the user."""
        known = self.users[users]
        cold = self.user_counts[users] == 0
        if not cold.any():
            return known
        liked = (self.item_counts[history] > 0).to(known.dtype)  # (B, H)
        n = liked.sum(1, keepdim=True)
        # A weighted bag never holds the (B, H, d) vectors of all histories.
        pooled = F.embedding_bag(history, self.messages, per_sample_weights=liked, mode="sum")
        factors = self.start + pooled / n.clamp(min=1).sqrt()
        from_history = torch.cat([factors, self.users[0, -1:].expand(len(users), 1)], dim=1)
        return torch.where(cold.unsqueeze(1) & (n > 0), from_history, known)

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds: (B,), (B, H), (B,) -> (B,); while fitting, from a graph without the rows' own edges."""
        if self.graph is None or not self.training:
            return super().forward(users, history, items)
        layers = self.graph.layers(without=(users, items))
        p = torch.stack([layer[users] for layer, _ in layers]).mean(0)
        q = torch.stack([layer[items] for _, layer in layers]).mean(0)
        return self.match(_with_bias(p, self.graph.users[users]), _with_bias(q, self.graph.items[items]))

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Of the factors before smoothing."""
        assert self.graph is not None
        return factor_penalty(self.graph.users[users]) + factor_penalty(self.graph.items[items])


class LikeGraph(nn.Module):
    """Users and items, joined where a training row is a like, and their vectors before smoothing."""

    user_of: Tensor
    """(E,) user code of each edge; each like once, codes 0 left out."""
    item_of: Tensor
    """(E,) its item code."""

    def __init__(self, train: Rows, n_users: int, n_items: int, config: LightGCNConfig, seed: int) -> None:
        super().__init__()
        self.steps = config.layers
        generator = torch.Generator().manual_seed(seed)
        self.users = nn.Parameter(start_table(n_users + 1, config.dim, generator))
        self.items = nn.Parameter(start_table(n_items + 1, config.dim, generator))
        liked = (train.labels == 1) & (train.users > 0) & (train.items > 0)
        edges = np.unique(np.stack([train.users[liked], train.items[liked]]), axis=1)
        self.register_buffer("user_of", torch.from_numpy(edges[0]), persistent=False)
        self.register_buffer("item_of", torch.from_numpy(edges[1]), persistent=False)

    @property
    def item_norm(self) -> Tensor:
        """(n_items + 1,) 1 / sqrt(likes) of each item; 1 without likes."""
        return _norm(self.item_of, len(self.items))

    def layers(self, without: tuple[Tensor, Tensor] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Factors of all users (n_users + 1, d) and items (n_items + 1, d), after 0 to K steps along the graph.

        `without` are users (B,) and items (B,) whose edges, if there are any, are taken out first.
        """
        user_of, item_of = self.user_of, self.item_of
        if without is not None:
            width = len(self.items)
            kept = ~torch.isin(user_of * width + item_of, without[0] * width + without[1])
            user_of, item_of = user_of[kept], item_of[kept]
        norm = _norm(user_of, len(self.users))[user_of] * _norm(item_of, len(self.items))[item_of]
        users, items = self.users[:, :-1], self.items[:, :-1]
        layers = [(users, items)]
        for _ in range(self.steps):
            users, items = (
                torch.zeros_like(users).index_add(0, user_of, items[item_of] * norm.unsqueeze(1)),
                torch.zeros_like(items).index_add(0, item_of, users[user_of] * norm.unsqueeze(1)),
            )
            layers.append((users, items))
        return layers


def _norm(codes: Tensor, size: int) -> Tensor:
    """(size,) 1 / sqrt(how often each code occurs), 1 where it does not."""
    return torch.bincount(codes, minlength=size).clamp(min=1).to(torch.float32).rsqrt()


def _with_bias(factors: Tensor, table: Tensor) -> Tensor:
    """(N, d + 1): factors (N, d) and the biases of a table (N, d + 1)."""
    return torch.cat([factors, table[:, -1:]], dim=1)
