"""EASE, an autoencoder without a hidden layer (Steck, *Embarrassingly Shallow Autoencoders for Sparse Data*, 2019)."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from ccf_llm.cf.factors import factorise
from ccf_llm.cf.history_prior import HistoryPrior
from ccf_llm.cf.prior import Prior, Words, trust
from ccf_llm.cf.retriever import Retriever, cosines
from ccf_llm.cf.settings import EASEConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError
from ccf_llm.io.memory import free_memory
from ccf_llm.io.progress import Say

BLOCK = 1024
"""Columns of the matrix that are computed at once."""


@dataclass(frozen=True, eq=False)
class EASE(Retriever):
    """Scores x B for a row x of likes, where B has the least |X - X B|^2 + l2 |B|^2 of all with a diagonal of 0:

        P = (X'X + l2 I)^-1,    B = I - P diag(P)^-1

    in closed form, in float64. Items that nobody likes have weights of 0 throughout, so only the m others are stored.
    With `half_life` x holds less than 1 for likes of long ago, when it is asked; B is learned from all alike.

    With a prior the column of each item, what every like adds to its score, is drawn to what its words predict of its
    vector, times `left`. An item that nobody likes scores by that alone. In a history it says nothing, but a new one
    what its words predict of its row of `left`.
    """

    kind: ClassVar[str] = "ease"
    config_type: ClassVar[type[EASEConfig]] = EASEConfig

    config: EASEConfig
    columns: NDArray[np.int64]
    """(m,) the columns of the items that somebody likes in training."""
    weights: Floats
    """(m, m) B: what a like of the row's item adds to the score of the column's."""
    left: Floats
    """(m, d) what an item adds to a history's vector."""
    right: Floats
    """(m, d) an item's own vector."""

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: EASEConfig,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        columns = np.flatnonzero(likes.getnnz(axis=0))
        _check_memory(len(columns), cls.kind)
        weights = cls._weights(likes[:, columns], config, None if words is None else words.vectors[1:][columns])
        left, right = factorise(weights, config.dim, seed)
        return {"columns": columns, "weights": weights, "left": left, "right": right}

    @classmethod
    def _weights(cls, likes: csr_matrix, config: Any, words: Floats | None) -> Floats:
        """(m, m) B of likes (n_users, m); `words` (m, w) of the same items."""
        return item_weights(gram_matrix(likes), config.l2)

    def _drawn_to(self, prior: Prior, counts: NDArray[np.int64]) -> Self:
        own = trust(counts, prior.config.k)[self.columns].astype(np.float32)
        weights, towards = np.empty_like(self.weights), prior.towards(self._item_vectors())[self.columns]
        for begin in range(0, len(own), BLOCK):
            some = slice(begin, begin + BLOCK)
            weights[:, some] = own[some] * self.weights[:, some] + (1 - own[some]) * (self.left @ towards[some].T)
        np.fill_diagonal(weights, 0)
        right = prior.draw(counts, self._item_vectors())[self.columns]
        return replace(self, weights=weights, right=right, prior=prior)

    def _score(self, histories: list[Codes]) -> Floats:
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        likes = self._liked(histories, self.config.half_life)
        if self.prior is not None:
            scores[:] = self._vectors(likes) @ self.prior.predicted.T
        scores[:, self.columns] = likes[:, self.columns] @ self.weights
        if self._said is not None:
            scores[:, self.columns] += (likes @ self._said) @ self.right.T
        return scores

    def _similar(self, column: int) -> Floats:
        if self.prior is not None:  # new items have vectors too
            return cosines(self._item_vectors(), column)
        scores = np.zeros(self.n_items, dtype=np.float32)
        here = self.columns == column
        # What either adds to the other: one direction alone puts what everybody likes too high.
        scores[self.columns] = (self.weights[here].sum(0) + self.weights[:, here].sum(1)) / 2
        return scores

    def _item_vectors(self) -> Floats:
        prior, shape = self.prior, (self.n_items, self.right.shape[1])
        vectors = np.zeros(shape, dtype=np.float32) if prior is None else prior.predicted.copy()
        vectors[self.columns] = self.right
        return vectors

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        return self._vectors(self._liked(histories, self.config.half_life))

    def _vectors(self, likes: csr_matrix) -> Floats:
        """(B, d) of what each like (B, n_items) counts."""
        vectors: Floats = likes[:, self.columns] @ self.left
        return vectors if self._said is None else vectors + likes @ self._said

    def _hearing(self, words: Words, counts: NDArray[np.int64]) -> Self:
        added = np.zeros((self.n_items, self.left.shape[1]), dtype=np.float32)
        added[self.columns] = self.left
        return replace(self, heard=HistoryPrior.fit(words, counts, added))

    @cached_property
    def _said(self) -> Floats | None:
        """(n_items, d) what likes of new items add; None where there are none."""
        return self.heard.said if self.heard is not None and self.heard.speaks.any() else None


def gram_matrix(likes: csr_matrix) -> NDArray[np.float64]:
    """(m, m) X'X of likes (n_users, m)."""
    m = likes.shape[1]
    gram = np.empty((m, m), order="F")  # LAPACK's order, or it would take copies
    across = likes.T.tocsr()
    for begin in range(0, m, BLOCK):
        gram[:, begin : begin + BLOCK] = (across @ likes[:, begin : begin + BLOCK]).toarray()
    return gram


def item_weights(gram: NDArray[np.float64], l2: float) -> Floats:
    """(m, m) B of a Gram matrix (m, m) in Fortran's order, which is overwritten; 12 bytes a cell at most."""
    m, inverse = len(gram), invert(gram, l2)
    diagonal = inverse.diagonal().copy()
    weights = np.empty((m, m), dtype=np.float32)
    for begin in range(0, m, BLOCK):
        some = slice(begin, begin + BLOCK)
        weights[:, some] = inverse[:, some] / -diagonal[some]
    np.fill_diagonal(weights, 0)
    return weights


def invert(gram: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    """(m, m) (G + l2 I)^-1, in place of the Gram matrix G in Fortran's order."""
    m = len(gram)
    gram[np.diag_indices(m)] += l2
    shared = torch.from_numpy(gram)
    torch.linalg.cholesky(shared, out=shared)  # SciPy's ends in a segmentation fault from some 16,000 items on
    inverse: NDArray[np.float64]
    inverse, _ = lapack.dpotri(gram, lower=1, overwrite_c=1)
    for begin in range(0, m, BLOCK):  # only the lower triangle was computed
        stop = min(begin + BLOCK, m)
        inverse[begin:stop, stop:] = inverse[stop:, begin:stop].T
        own = np.tril(inverse[begin:stop, begin:stop])
        inverse[begin:stop, begin:stop] = own + np.tril(own, -1).T
    return inverse


def bytes_for(m: int) -> int:
    """What the matrices of m liked items take while EASE is fitted."""
    return 12 * m**2


def _check_memory(m: int, kind: str) -> None:
    """Raise `CCFError` where the matrices of m items are more than the memory that is free."""
    needed, free = bytes_for(m), free_memory()
    if free is not None and needed > free:
        raise CCFError(
            f"{kind}: {m:,} liked items need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; use als, "
            "whose memory grows with the items and not with their square"
        )
