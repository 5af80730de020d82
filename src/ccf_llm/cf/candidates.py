"""What a retriever finds for each person of a part: the lists that a reranker puts in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import BATCH, Retriever
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.likes import Targets
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.evaluation.hits import in_order, ndcg


@dataclass(frozen=True)
class Candidates:
    """The best `m` of the catalogue for each of U people, without what they have met."""

    asked: Targets
    """Who, with which history, and what is to be found."""
    items: Codes
    """(U, m) item codes, best first; where no more were left, 0."""
    scores: Floats
    """(U, m) the retriever's scores; 0 where there is no item."""
    relevant: NDArray[np.bool_]
    """(U, m) whether the item is to be found."""

    @classmethod
    def of(cls, asked: Targets, m: int, retrievers: "Retriever | CrossFittedRetrievers") -> Self:
        """Ask a retriever or, of cross-fitted ones, for each person the one that has not seen them."""
        m = min(m, retrievers.n_items)
        items, scores = np.zeros((len(asked), m), dtype=np.int64), np.zeros((len(asked), m), dtype=np.float32)
        for retriever, people in _shared_out(asked, retrievers):
            for begin in range(0, len(people), BATCH):
                some = people[begin : begin + BATCH]
                histories = [asked.histories[i] for i in some]
                items[some], scores[some] = retriever.best(histories, m, [asked.seen[i] for i in some])
        relevant = np.array([np.isin(best, found) for best, found in zip(items, asked.items, strict=True)])
        return cls(asked, items, scores, relevant.reshape(items.shape))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The lists of several moments, one after the other; all of one width."""
        asked = Targets.joined([part.asked for part in parts])
        arrays = ([getattr(part, name) for part in parts] for name in ("items", "scores", "relevant"))
        return cls(asked, *(np.concatenate(of) for of in arrays))

    def __len__(self) -> int:
        return len(self.items)

    def take(self, people: NDArray[np.int64]) -> Self:
        """Some of the people, with their lists."""
        return type(self)(self.asked.take(people), self.items[people], self.scores[people], self.relevant[people])

    def rows(self) -> Rows:
        """Every item of every list as a row, person by person, with the label 1 where it is to be found."""
        there = self.items > 0
        return Rows.for_lists(
            self.asked.users, self.asked.histories, there.sum(1), self.items[there], self.relevant[there]
        )

    def laid_out(self, scores: Floats) -> Floats:
        """(U, m) of scores (N,) of `rows`; NaN where there is no item."""
        laid: Floats = np.full(self.items.shape, np.nan, dtype=np.float32)
        laid[self.items > 0] = scores
        return laid

    def ndcg(self, scores: NDArray[np.floating[Any]], k: int) -> float:
        """Mean NDCG@k over people of their lists in the order of scores (U, m); places without an item come last."""
        relevant = in_order(np.where(self.items > 0, scores, np.nan), self.relevant, k)
        return float(np.nanmean(ndcg(relevant, np.array([len(found) for found in self.asked.items]), k)))


@dataclass(frozen=True)
class CrossFittedRetrievers:
    """Retrievers that were each fitted without the users of one fold.

    A retriever that has seen what a person likes later finds it far too well. Whatever learns from its lists would
    learn to trust it, so each training user is asked of the one that has not seen them.
    """

    models: Sequence[Retriever]
    fold_of_user: Codes
    """(n_users + 1,) by user code."""

    @classmethod
    def fit(
        cls,
        kind: type[Retriever],
        likes: csr_matrix,
        times: csr_matrix | None = None,
        *,
        folds: int = 4,
        config: RetrieverConfig | None = None,
        seed: int = 0,
        words: Words | None = None,
    ) -> Self:
        """One for each fold of users, which are drawn with the seed. The arguments are those of `Retriever.fit`."""
        fold_of_user = draw_folds(likes.shape[0] - 1, folds, seed)
        models = []
        for fold in range(folds):
            kept = fold_of_user != fold
            when = None if times is None else _of_users(times, kept)
            models.append(kind.fit(_of_users(likes, kept), config=config, seed=seed, times=when, words=words))
        return cls(models, fold_of_user)

    @property
    def n_items(self) -> int:
        """Items of the catalogue, without code 0."""
        return self.models[0].n_items

    def of_user(self, user: int) -> Retriever:
        """The one that has not seen the user."""
        return self.models[int(self.fold_of_user[user])]


def draw_folds(users: int, folds: int, seed: int) -> Codes:
    """(users + 1,) the fold of each user code, drawn; all are of one size, or nearly."""
    drawn: Codes = np.random.default_rng(seed).permutation(users + 1) % folds
    return drawn


def _of_users(matrix: csr_matrix, kept: NDArray[np.bool_]) -> csr_matrix:
    """The cells of the users who are kept, also those of 0, such as a time; the rows of the others are empty."""
    cells = np.repeat(kept, np.diff(matrix.indptr))
    indptr = np.cumsum([0, *np.where(kept, np.diff(matrix.indptr), 0)])
    return csr_matrix((matrix.data[cells], matrix.indices[cells], indptr), shape=matrix.shape)


def _shared_out(
    asked: Targets, retrievers: Retriever | CrossFittedRetrievers
) -> list[tuple[Retriever, NDArray[np.int64]]]:
    """Each retriever with the places of the people whom it is asked about."""
    if isinstance(retrievers, Retriever):
        return [(retrievers, np.arange(len(asked)))]
    folds = retrievers.fold_of_user[asked.users]
    return [(model, np.flatnonzero(folds == fold)) for fold, model in enumerate(retrievers.models)]
