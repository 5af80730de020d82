"""Matrix factorisation with biases (Koren, Bell and Volinsky 2009), trained with cross-entropy on labels."""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ccf_llm.cf.base import CFConfig, CFModel
from ccf_llm.cf.fit import fit_on_labels
from ccf_llm.data.rows import Rows


class MFConfig(CFConfig):
    """Settings of `MF`."""


class MF(CFModel):
    """score(u, i) = p_u . q_i + b_u + b_i + offset.

    The vectors shown outside carry the bias as one more dimension, since a language model that reads them needs it as
    much as the rest: item [q_i, b_i], user [p_u, b_u]. What training has not seen is defined, never random:

    - an item without a training row (and code 0) gets the plain mean of the seen items' vectors and biases;
    - a user without one gets the mean q of the liked items in the history, and the mean user bias;
    - with an empty history too, the mean user's vector.
    """

    kind: ClassVar[str] = "mf"
    config_type: ClassVar[type[CFConfig]] = MFConfig
    name = "mf"

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Vectors start at normal noise of .05, biases at 0."""
        config = config or MFConfig()
        super().__init__(n_users, n_items, config)
        generator = torch.Generator().manual_seed(seed)
        # (codes, d + 1): the bias is the last column, so that one lookup serves score, fallback and language model.
        self.users = nn.Parameter(_start(n_users + 1, config.dim, generator))
        self.items = nn.Parameter(_start(n_items + 1, config.dim, generator))
        self.offset = nn.Parameter(torch.zeros(()))

    @classmethod
    def fit(
        cls,
        train: Rows,
        valid: Rows,
        *,
        n_users: int,
        n_items: int,
        config: MFConfig | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Train on `train` until the AUC on `valid` stops rising; `progress` gets one line per pass.

        `n_users` and `n_items` are the sizes of the vocabularies, without code 0. Equal arguments on one machine give
        equal weights. Raises `CCFError` for codes outside the vocabulary or labels without both classes.
        """
        model = cls(n_users, n_items, config, seed=seed).to(device)
        fit_on_labels(
            model, train, valid, penalty=model.penalty, finish=model.fill_unseen, seed=seed, progress=progress
        )
        return model

    @property
    def dim(self) -> int:
        """d + 1: the factors and the bias."""
        return self.config.dim + 1

    def item_embedding(self, items: Tensor) -> Tensor:
        """[q_i, b_i] of item codes: (...) -> (..., d + 1)."""
        return self.items[items]

    def user_embedding(self, users: Tensor, history: Tensor) -> Tensor:
        """[p_u, b_u] of user codes (B,) with histories (B, H), padded with 0 -> (B, d + 1)."""
        known = self.users[users]
        cold = self.user_counts[users] == 0
        if not cold.any():  # all of training: a step is several times faster without the histories
            return known
        liked = (self.item_counts[history] > 0).float()  # (B, H); padding and unseen items say nothing about the user
        total = torch.einsum("bh,bhd->bd", liked, self.items[history][..., :-1])
        n = liked.sum(1, keepdim=True)
        from_history = torch.cat([total / n.clamp(min=1), self.users[:1, -1:].expand(len(users), 1)], dim=1)
        return torch.where(cold.unsqueeze(1) & (n > 0), from_history, known)

    def forward(self, users: Tensor, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds: (B,), (B, H), (B,) -> (B,)."""
        user, item = self.user_embedding(users, history), self.item_embedding(items)
        dot = (user[:, :-1] * item[:, :-1]).sum(-1)
        return dot + user[:, -1] + item[:, -1] + self.offset

    def penalty(self, users: Tensor, items: Tensor) -> Tensor:
        """Sum of squares of the factors that a batch reads; biases are free."""
        return self.users[users][:, :-1].square().sum() + self.items[items][:, :-1].square().sum()

    @torch.no_grad()
    def fill_unseen(self) -> None:
        """Give codes without a training row, and code 0, the mean vector of those with one."""
        for table, counts in ((self.users, self.user_counts), (self.items, self.item_counts)):
            table[counts == 0] = table[counts > 0].mean(0)


def _start(codes: int, dim: int, generator: torch.Generator) -> Tensor:
    """(codes, dim + 1) small random factors, and a bias of 0."""
    return torch.cat([0.05 * torch.randn(codes, dim, generator=generator), torch.zeros(codes, 1)], dim=1)
