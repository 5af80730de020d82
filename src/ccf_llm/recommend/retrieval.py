"""The best items for one person by one signal: exactly, or through an index where the catalogue is large.

Up to `EXACT_UP_TO` items every item is scored and sorted: a product and a sort of some milliseconds. Beyond, vectors
are kept in an inverted file of FAISS (`IndexIVFFlat`, inner product; Johnson, Douze and Jégou 2017): k-means sorts the
items into sqrt(n) lists, and a search reads the `PROBED` share of them whose centroids lie best. It reads the vectors
themselves, applies filters while it reads, takes little memory but for the vectors, and is built in seconds. A graph
(HNSW) answers sooner in very large catalogues, but is slow to build and finds little where filters leave little.

Where the lists read hold fewer items than are wanted, twice as many are read, in the end all of them, which is exact.
Where filters leave few items (`FEW`), these are scored one and all.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError
from ccf_llm.recommend.catalogue import Catalogue

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]
"""Item codes minus 1: where an item stands in the lists and arrays of a `Catalogue`."""

EXACT_UP_TO = 100_000
PROBED = 1 / 8
"""Share of the lists that a search reads at first."""
FEW = 1 / 64
"""Where filters leave no larger share of the items, all of these are scored: that is exact, and no slower."""


class Ranking(Protocol):
    """The items that the filters leave, in the order of one signal for one person."""

    def best(self, n: int) -> Positions:
        """At most `n` items, best first."""

    def scores(self, items: Positions) -> Floats:
        """(m,) the signal's scores of any items."""

    def ranks(self, items: Positions) -> list[int | None]:
        """The rank of each item among those that the filters leave, from 1; None where it is not known."""


class ExactRanking:
    """Every item scored and sorted; ties in the order of the catalogue.

    Args:
        scores: (n_items,) of the whole catalogue.
        eligible: (n_items,) which items the filters leave.
    """

    def __init__(self, scores: Floats, eligible: Mask) -> None:
        left = np.flatnonzero(eligible)
        self._scores = scores
        self._order: Positions = left[np.argsort(-scores[left], kind="stable")]
        self._ranks = np.zeros(len(scores), dtype=np.int64)
        self._ranks[self._order] = np.arange(1, len(left) + 1)

    def best(self, n: int) -> Positions:
        """At most `n` items, best first."""
        return self._order[:n]

    def scores(self, items: Positions) -> Floats:
        """(m,) as they were given."""
        return self._scores[items]

    def ranks(self, items: Positions) -> list[int | None]:
        """Exact; None for an item that the filters leave out."""
        return [rank or None for rank in self._ranks[items].tolist()]


class VectorIndex:
    """The items whose vectors have the largest inner product with a query, by FAISS.

    Args:
        vectors: (n_items, d) float32, one of each item.
    """

    def __init__(self, vectors: Floats) -> None:
        """Sort the vectors into lists; a `CCFError` where FAISS is not installed."""
        self._faiss = _faiss(len(vectors))
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        n, d = vectors.shape
        self._lists = max(1, math.isqrt(n))
        self._index = self._faiss.IndexIVFFlat(
            self._faiss.IndexFlatIP(d), d, self._lists, self._faiss.METRIC_INNER_PRODUCT
        )
        self._index.cp.niter = 10  # passes of k-means: the lists have to be compact, not the best there are
        self._index.train(self.vectors)
        self._index.add(self.vectors)

    def search(self, query: Floats, n: int, eligible: Mask) -> Positions:
        """At most `n` of the eligible items, best first, for a query (d,): fewer only where fewer are eligible."""
        left = np.flatnonzero(eligible)
        wanted = min(n, len(left))
        if len(left) <= FEW * len(eligible):
            return left[np.argsort(-(self.vectors[left] @ query), kind="stable")[:wanted]]
        bits = np.packbits(eligible, bitorder="little")
        selector = self._faiss.IDSelectorBitmap(bits)
        probed = max(1, math.ceil(self._lists * PROBED))
        while wanted:
            parameters = self._faiss.SearchParametersIVF(sel=selector, nprobe=min(probed, self._lists))
            found: Positions = self._index.search(query[None].astype(np.float32), wanted, params=parameters)[1][0]
            found = found[found >= 0]  # FAISS fills up with -1
            if len(found) == wanted or probed >= self._lists:
                return found
            probed *= 2
        return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class IndexRanking:
    """What an index finds for one query; `rest` is added to every inner product."""

    index: VectorIndex
    query: Floats
    eligible: Mask
    most: int
    """Of how many of the best the ranks are known."""
    rest: float = 0.0

    def best(self, n: int) -> Positions:
        """At most `n` items, best first."""
        return self._found[:n] if n <= self.most else self.index.search(self.query, n, self.eligible)

    def scores(self, items: Positions) -> Floats:
        """(m,) exact: only which items are found is not."""
        scores: Floats = self.index.vectors[items] @ self.query + np.float32(self.rest)
        return scores

    def ranks(self, items: Positions) -> list[int | None]:
        """Among the items found: a rank may be too good by what the index missed. None for an item beyond these."""
        known = {int(item): rank for rank, item in enumerate(self._found, start=1)}
        return [known.get(int(item)) for item in items]

    @cached_property
    def _found(self) -> Positions:
        return self.index.search(self.query, self.most, self.eligible)


class Retriever:
    """Rankings of a catalogue by CF and by text.

    Args:
        catalogue: its semantic embeddings.
        cf: its collaborative model. One whose score is no inner product (`DIN`) scores every item at any size.
        exact_up_to: the largest catalogue in which every item is scored.
        most: of how many of the best the ranks are known in larger ones.
    """

    def __init__(self, catalogue: Catalogue, cf: CFModel, *, exact_up_to: int = EXACT_UP_TO, most: int = 1000) -> None:
        self._catalogue, self._cf, self._most = catalogue, cf, most
        self._exact = len(catalogue) <= exact_up_to
        if not self._exact:
            _faiss(len(catalogue))

    def by_cf(self, user: int, history: Codes, eligible: Mask) -> Ranking:
        """By the CF model's log-odds for a user code with these likes."""
        if self._exact or not self._cf.scores_by_product:
            return ExactRanking(self._cf.score_catalogue(user, history), eligible)
        query, rest = self._cf.query(user, history)
        return IndexRanking(self._cf_index, query, eligible, self._most, rest)

    def by_text(self, history: Codes, eligible: Mask) -> Ranking:
        """By the cosine of the titles with those liked (`Catalogue.text_scores`)."""
        if self._exact:
            return ExactRanking(self._catalogue.text_scores(history), eligible)
        return IndexRanking(self._text_index, self._catalogue.text_query(history), eligible, self._most)

    @cached_property
    def _cf_index(self) -> VectorIndex:
        return VectorIndex(self._cf.item_matrix())

    @cached_property
    def _text_index(self) -> VectorIndex:
        return VectorIndex(self._catalogue.semantic)


def _faiss(items: int) -> Any:
    try:
        import faiss
    except ImportError:
        raise CCFError(
            f"retrieval: {items:,} items are searched with FAISS; pip install 'ccf-llm[faiss]', or raise exact_up_to"
        ) from None
    return faiss
