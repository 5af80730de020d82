"""Vectors of users and items that nothing has taught yet: what "learned from scratch" starts from."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from ccf_llm.cf.base import CFModel, last_rows
from ccf_llm.cf.settings import CFConfig, IDVectorsConfig
from ccf_llm.cf.tables import fill_unseen, start_table
from ccf_llm.data.rows import Rows


class IDVectors(CFModel):
    """One random vector for each user and each item that training has seen, and one for all others.

    `learn` only counts, so its scores mean nothing. A stage with `train: [..., cf]` learns the vectors through the
    language model (ID embeddings as prompt tokens, Li, Zhang and Chen 2023).
    """

    kind: ClassVar[str] = "ids"
    config_type: ClassVar[type[CFConfig]] = IDVectorsConfig
    name: ClassVar[str] = "ids"

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Vectors start at normal noise of .05."""
        super().__init__(n_users, n_items, config)
        generator = torch.Generator().manual_seed(seed)
        self.users = nn.Parameter(start_table(n_users + 1, self.config.dim, generator))
        self.items = nn.Parameter(start_table(n_items + 1, self.config.dim, generator))

    def learn(self, train: Rows, valid: Rows, *, seed: int, progress: Callable[[str], None] | None = None) -> None:
        """Count the training rows; nothing else is read."""
        self.count(train)
        fill_unseen(self.users, self.user_counts)
        fill_unseen(self.items, self.item_counts)
        self.measure_users(last_rows(train))
        self.eval()

    def item_vectors(self, items: Tensor) -> Tensor:
        """Looked up; all items without a training row share the vector of code 0."""
        return self.items[torch.where(self.item_counts[items] > 0, items, 0)]

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """Looked up; all users without a training row share the vector of code 0."""
        return self.users[torch.where(self.user_counts[users] > 0, users, 0)]
