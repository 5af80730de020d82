"""Several collaborative models as one: the mean of their log-odds, and their vectors side by side."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from ccf_llm.cf.base import CFModel, last_rows
from ccf_llm.cf.lightgcn import LightGCN
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import CFConfig, EnsembleConfig
from ccf_llm.data.rows import Rows

MEMBERS: dict[str, type[CFModel]] = {model.kind: model for model in (MF, LightGCN)}
"""Kinds whose score is a product of vectors, so that their ensemble's is one too."""


class Ensemble(CFModel):
    """M members, fitted apart on the same rows, each with a seed of its own (bagging without resampling; Breiman 1996):

        score(u, i) = mean over m of (p_u^m . q_i^m + b_u^m + b_i^m + offset^m)

    Small data leave much of a factorisation to chance; the mean keeps what its members agree on. From outside it is one
    model of M d factors: a user has [p_u^1, ..., p_u^M] / sqrt(M) and the mean bias, an item likewise, and the score is
    their product as in every model here.
    """

    kind: ClassVar[str] = "ensemble"
    config_type: ClassVar[type[CFConfig]] = EnsembleConfig
    name: ClassVar[str] = "ensemble"
    item_tables: ClassVar[tuple[str, ...]] = tuple(
        sorted({name for member in MEMBERS.values() for name in member.item_tables})
    )
    config: EnsembleConfig

    def __init__(self, n_users: int, n_items: int, config: CFConfig | None = None, *, seed: int = 0) -> None:
        """Fresh members, drawn with seeds that no other seed's members have."""
        super().__init__(n_users, n_items, config)
        shared = self.config.model_dump(include=set(CFConfig.model_fields))
        kinds = [MEMBERS[kind] for kind in self.config.members for _ in range(self.config.copies)]
        self.members = nn.ModuleList(
            kind(n_users, n_items, kind.config_type.model_validate(shared), seed=seed * len(kinds) + k)
            for k, kind in enumerate(kinds)
        )
        self.scale = len(kinds) ** -0.5

    def learn(self, train: Rows, valid: Rows, *, seed: int, progress: Callable[[str], None] | None = None) -> None:
        """Fit each member by itself."""
        for k, member in enumerate(self._each()):
            member.learn(train, valid, seed=seed * len(self.members) + k, progress=progress)
        self.count(train)
        with torch.no_grad():
            self.offset.copy_(torch.stack([member.offset for member in self._each()]).mean())
        self.measure_users(last_rows(train))
        self.eval()

    def item_vectors(self, items: Tensor) -> Tensor:
        """The members' vectors side by side, and the mean of their biases."""
        return self._joined([member.item_vectors(items) for member in self._each()])

    def user_vectors(self, users: Tensor, history: Tensor) -> Tensor:
        """The same of users."""
        return self._joined([member.user_vectors(users, history) for member in self._each()])

    @property
    def factors(self) -> int:
        """Those of all members."""
        return len(self.config.members) * self.config.copies * self.config.dim

    def _each(self) -> list[CFModel]:
        members: list[CFModel] = list(self.members)  # type: ignore[arg-type]
        return members

    def _joined(self, vectors: list[Tensor]) -> Tensor:
        factors = [self.scale * vector[..., :-1] for vector in vectors]
        bias = torch.stack([vector[..., -1:] for vector in vectors]).mean(0)
        return torch.cat([*factors, bias], dim=-1)
