"""Several retrievers as one."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from ccf_llm.cf.als import ALS
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.sasrec_softmax import SASRecSoftmax
from ccf_llm.cf.settings import RetrieverEnsembleConfig
from ccf_llm.cf.store import SETTINGS_FILE, read_settings, stored
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.progress import Say

MEMBERS: dict[str, type[Retriever]] = {model.kind: model for model in (ItemKNN, EASE, ALS, SASRecSoftmax)}


@dataclass(frozen=True, eq=False)
class RetrieverEnsemble(Retriever):
    """score = sum of the members' scores, each divided by its standard deviation over the liked items for this history
    and times its weight, less the least of them. Items that nobody likes have 0, the least.
    """

    kind: ClassVar[str] = "retriever_ensemble"
    config_type: ClassVar[type[RetrieverEnsembleConfig]] = RetrieverEnsembleConfig

    config: RetrieverEnsembleConfig
    members: tuple[Retriever, ...]
    """In the order of the weights."""

    @classmethod
    def fit(
        cls,
        likes: csr_matrix,
        *,
        config: Any = None,
        seed: int = 0,
        times: csr_matrix | None = None,
        words: Words | None = None,
        progress: Say | None = None,
    ) -> Self:
        """Fit every member, by likes alone; see `Retriever.fit`."""
        config = cls.config_type() if config is None else config
        members = tuple(
            MEMBERS[name].fit(likes, config=getattr(config, name), seed=seed, times=times, progress=progress)
            for name in config.weights
        )
        return cls(config=config, popularity=members[0].popularity, members=members)

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: Any,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        raise NotImplementedError("its members learn")

    def with_items(self, n: int, words: Floats | None = None) -> Self:
        """See `Retriever.with_items`."""
        members = tuple(member.with_items(n) for member in self.members)
        return replace(self, popularity=members[0].popularity, members=members)

    def _score(self, histories: list[Codes]) -> Floats:
        return self._joined([member._score(histories) for member in self.members])

    def _similar(self, column: int) -> Floats:
        joined: Floats = self._joined([member._similar(column)[None] for member in self.members])[0]
        return joined

    def _item_vectors(self) -> Floats:
        vectors: Floats = np.concatenate([member._item_vectors() for member in self.members], axis=1)
        return vectors

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        told = [place for place, history in enumerate(histories) if len(history)]
        parts = [member._history_vectors(histories) for member in self.members]
        for part, member, weight in zip(parts, self.members, self.config.weights.values(), strict=True):
            if told:
                part[told] *= weight / self._spread(member._score([histories[place] for place in told]))
        vectors: Floats = np.concatenate(parts, axis=1)
        return vectors

    def _joined(self, scores: list[Floats]) -> Floats:
        """(B, n_items) from the members' own."""
        weights = self.config.weights.values()
        joined: Floats = sum(
            (weight / self._spread(of_one) * of_one for weight, of_one in zip(weights, scores, strict=True)),
            start=np.zeros_like(scores[0]),
        )
        joined -= joined[:, self.popularity > 0].min(axis=1, keepdims=True)
        joined[:, self.popularity == 0] = 0
        return joined

    def _spread(self, scores: Floats) -> Floats:
        """(B, 1) standard deviation of scores (B, n_items) over the items that somebody likes."""
        spread: Floats = scores[:, self.popularity > 0].std(axis=1, keepdims=True)
        return np.maximum(spread, np.finfo(np.float32).eps)

    def save(self, folder: Path) -> None:
        """Write `cf.json`, and each member to a folder of its name in `folder`, atomically."""
        with stored(folder, self.kind, {"config": self.config.model_dump(mode="json")}) as temporary:
            for member in self.members:
                member.save(temporary / member.kind)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises as `Retriever.load`."""
        settings = read_settings(folder, cls.kind)
        try:
            config = cls.config_type.model_validate(settings["config"])
        except (KeyError, ValidationError) as error:
            path = Path(folder) / SETTINGS_FILE
            raise CCFError(f"{path}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        members = tuple(MEMBERS[name].load(Path(folder) / name) for name in config.weights)
        return cls(config=config, popularity=members[0].popularity, members=members)
