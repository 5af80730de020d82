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

from ccf_llm.cf.by_content import by_content
from ccf_llm.cf.prior import Prior, Words
from ccf_llm.cf.retriever import Retriever, cosines
from ccf_llm.cf.settings import ALSConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.mapped import blocks, by_rows, folder_of, transposed, zeros
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
        items = np.random.default_rng(seed).random((likes.shape[1], config.dim), dtype=np.float32) * np.float32(0.01)
        # The solver starts at the items: what the users' factors begin with has no say, nor have their codes.
        users = zeros((likes.shape[0], config.dim), np.float32, folder_of(likes))
        with _library(config) as model:
            likes = _in_order(likes, config.alpha)
            liked_by, begun = transposed(likes), time.monotonic()
            for turn in range(1, config.iterations + 1):
                _solve(model, likes, users, items)
                _solve(model, liked_by, items, users)
                if progress:
                    left = time_left(begun, turn, config.iterations)
                    progress(f"{cls.kind}: turn {turn} of {config.iterations}, {left}")
        if not np.isfinite(items).all():
            raise CCFError(f"regularization: training diverged at {config.regularization}; choose a larger one")
        return {"factors": items}

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


def _in_order(likes: csr_matrix, alpha: float) -> csr_matrix:
    """Confidences, float32, with the rows sorted by what they hold: sums over users then round alike."""
    likes = by_rows(likes, lambda some: some.astype(np.float32))

    def content(row: int) -> bytes:
        cells = slice(likes.indptr[row], likes.indptr[row + 1])
        held: bytes = likes.indices[cells].tobytes() + likes.data[cells].tobytes()
        return held

    return by_rows(likes, lambda some: alpha * some, by_content(likes.shape[0], content))


def _solve(model: Any, likes: csr_matrix, solved: Floats, given: Floats) -> None:
    """Write what is best for the likes (n, m) into `solved` (n, d), where the other side's factors (m, d) are given."""
    for begin, end, some in blocks(likes, times=16):  # not fewer cells, as the given factors are summed up for each
        model.solver(some, solved[begin:end], given, model.regularization, num_threads=model.num_threads)
