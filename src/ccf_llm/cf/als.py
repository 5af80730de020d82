"""Implicit ALS (Hu, Koren and Volinsky, *Collaborative Filtering for Implicit Feedback Datasets*, 2008)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.prior import Prior, Words
from ccf_llm.cf.retriever import Retriever, cosines
from ccf_llm.cf.settings import ALSConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.progress import Say, time_left


@dataclass(frozen=True, eq=False)
class ALS(Retriever):
    """Factors y of items, and x of people, that take turns to minimise

        sum over all u, i of c_ui (p_ui - x_u . y_i)^2 + regularization (|x|^2 + |y|^2)

    where p is 1 for a like, with c = alpha times its weight, and 0 with c = 1 for all else. Computed by the library
    `implicit`. A person's x follows from the history and Y, exactly (fold-in), so the users' own are not kept.
    """

    kind: ClassVar[str] = "als"
    config_type: ClassVar[type[ALSConfig]] = ALSConfig
    by_item: ClassVar[tuple[str, ...]] = ("factors",)

    config: ALSConfig
    factors: Floats
    """(n_items, d) y, drawn to the prior where there is one; zeros for what nobody likes in training."""

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: ALSConfig,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        start = np.random.default_rng(seed).random((likes.shape[1], config.dim), dtype=np.float32) * np.float32(0.01)
        with _library(config) as model:
            # The solver starts at the items: what the users' factors begin with has no say, nor have their codes.
            model.item_factors, model.user_factors = start, np.zeros((likes.shape[0], config.dim), dtype=np.float32)
            begun = time.monotonic()

            def tell(turn: int, *_: object) -> None:
                if progress:
                    left = time_left(begun, turn + 1, config.iterations)
                    progress(f"{cls.kind}: turn {turn + 1} of {config.iterations}, {left}")

            model.fit(_in_order(likes.astype(np.float32)), show_progress=False, callback=tell)
        return {"factors": model.item_factors}

    @cached_property
    def _folding(self) -> Any:
        """The library's model with these factors."""
        with _library(self.config) as model:
            model.item_factors = self.factors
        return model

    def _drawn_to(self, prior: Prior, counts: NDArray[np.int64]) -> Self:
        factors = np.where((counts > 0)[:, None], prior.draw(counts, self.factors), np.float32(0))
        return replace(self, factors=factors, prior=prior)

    def _score(self, histories: list[Codes]) -> Floats:
        scores: Floats = self._history_vectors(histories) @ self._item_vectors().T
        return scores

    def _similar(self, column: int) -> Floats:
        return cosines(self._item_vectors(), column)

    def _item_vectors(self) -> Floats:
        if self.prior is None:
            return self.factors
        # Nothing is folded in by what nobody likes, so `factors` keep their zeros.
        return np.where((self.popularity > 0)[:, None], self.factors, self.prior.predicted)

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        vectors: Floats = self._folding.recalculate_user(np.arange(len(histories)), self._liked(histories))
        return vectors


@contextmanager
def _library(config: ALSConfig) -> Iterator[Any]:
    """A model of the library, which is an extra; a `CCFError` says how to get it.

    Inside, BLAS has one thread, as the library has threads of its own.
    """
    try:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise CCFError(f"als: implicit cannot be loaded ({one_line(error)}); pip install 'ccf-llm[als]'") from None
    with threadpool_limits(1, "blas"):
        yield AlternatingLeastSquares(
            factors=config.dim,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            use_cg=False,
            num_threads=torch.get_num_threads(),
        )


def _in_order(likes: csr_matrix) -> csr_matrix:
    """The rows sorted by what they hold: sums over users then round alike, in whichever order these come."""
    likes.sort_indices()
    bounds = zip(likes.indptr[:-1], likes.indptr[1:], strict=True)
    keys = [likes.indices[a:b].tobytes() + likes.data[a:b].tobytes() for a, b in bounds]
    return likes[sorted(range(len(keys)), key=keys.__getitem__)]
