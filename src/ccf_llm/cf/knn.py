"""Item KNN: an item scores by the items of a history whom the same people like."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.factors import factorise
from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import KNNConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.io.progress import Say

BLOCK = 1024
"""Items whose likeness to all others is computed at once."""


@dataclass(frozen=True, eq=False)
class ItemKNN(Retriever):
    """Shrunk cosine between the items' columns of likes, of which each item keeps its k largest (N_k):

        s(i, j) = x_i . x_j / (|x_i| |x_j| + shrink),    score(j) = sum over i in history and N_k(j) of s(i, j)

    Sarwar et al., *Item-Based Collaborative Filtering*, 2001; of equal ones the lower code stays. With `half_life` the
    items of a history that were liked long ago count less.
    """

    kind: ClassVar[str] = "knn"
    config_type: ClassVar[type[KNNConfig]] = KNNConfig
    by_item: ClassVar[tuple[str, ...]] = ("neighbours", "likeness", "left", "right")

    config: KNNConfig
    neighbours: NDArray[np.int32]
    """(n_items, k) columns of each item's neighbours, nearest first."""
    likeness: Floats
    """(n_items, k) their shrunk cosines; 0 where there are fewer."""
    left: Floats
    """(n_items, d) what an item adds to a history's vector."""
    right: Floats
    """(n_items, d) an item's own vector."""

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: KNNConfig,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        n = likes.shape[1]
        k = min(config.k, n - 1)
        neighbours = np.zeros((n, k), dtype=np.int32)
        likeness = np.zeros((n, k), dtype=np.float32)
        lengths = np.sqrt(likes.multiply(likes).sum(axis=0)).A1
        across = likes.T.tocsr()
        for begin in range(0, n, BLOCK):
            stop = min(begin + BLOCK, n)
            block = (across[begin:stop] @ likes).toarray()
            block /= np.maximum(lengths[begin:stop, None] * lengths + config.shrink, np.finfo(np.float64).tiny)
            block[np.arange(stop - begin), np.arange(begin, stop)] = -1  # never its own neighbour
            neighbours[begin:stop] = np.argsort(-block, axis=1, kind="stable")[:, :k]
            likeness[begin:stop] = np.take_along_axis(block, neighbours[begin:stop].astype(np.int64), axis=1)
        left, right = factorise(_weights(neighbours, likeness), config.dim, seed)
        return {"neighbours": neighbours, "likeness": likeness, "left": left, "right": right}

    @cached_property
    def weights(self) -> csr_matrix:
        """(n_items, n_items) what a like of the row's item adds to the score of the column's."""
        return _weights(self.neighbours, self.likeness)

    def _score(self, histories: list[Codes]) -> Floats:
        scores: Floats = (self._liked(histories, self.config.half_life) @ self.weights).toarray()
        return scores

    def _similar(self, column: int) -> Floats:
        scores = np.zeros(self.n_items, dtype=np.float32)
        scores[self.neighbours[column]] = self.likeness[column]
        return scores

    def _item_vectors(self) -> Floats:
        return self.right

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        vectors: Floats = self._liked(histories, self.config.half_life) @ self.left
        return vectors


def _weights(neighbours: NDArray[np.int32], likeness: Floats) -> csr_matrix:
    n, k = neighbours.shape
    cells = (likeness.ravel(), (neighbours.ravel(), np.repeat(np.arange(n), k)))
    matrix = csr_matrix(cells, shape=(n, n))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix
