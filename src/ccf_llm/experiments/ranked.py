"""Ranked lists of the ranking task's rows: retrievers over the whole catalogue, methods over a retriever's best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.retriever import BATCH, Retriever
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets, targets
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.evaluation.known import Among, held_out
from ccf_llm.evaluation.lists import top_lists
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.scoring import SharedPrefixScorer

LENGTH = 20
"""Of a list: what the figures reach."""


@dataclass(frozen=True)
class Asked:
    """Whom a part asks for, with ids."""

    targets: Targets
    users: list[str]
    """Ids of the users, in order."""
    items: list[str]
    """Ids of the catalogue: code c stands in place c - 1."""

    @classmethod
    def of(cls, dataset: Dataset, part: Part, people: int | None = None, among: Among = "all") -> "Asked":
        """All who like something new in the part, or so many of them, drawn with seed 0.

        `among` `new`: those of them who like an item that the split held out, asked for such items alone.
        """
        found = targets(dataset, part)
        if people is not None and people < len(found):
            found = found.take(np.sort(np.random.default_rng(0).permutation(len(found))[:people]))
        if among == "new":
            new = held_out(dataset)
            codes = dataset.item_vocabulary.encode(new) if new is not None else np.zeros(0, dtype=np.int64)
            found = found.among(codes, len(dataset.item_vocabulary))
        users = dataset.user_vocabulary.decode(found.users)
        return cls(found, users, dataset.items["item_id"].to_list())

    def lists(self, method: str, scores_of: Callable[[slice], Floats], seed: int) -> pl.DataFrame:
        """The lists of a method that gives, for some of the people, (B, n_items) scores by code from 1."""
        frames = []
        for begin in range(0, len(self.users), BATCH):
            some = slice(begin, min(begin + BATCH, len(self.users)))
            marks = {"seen": self._marks(self.targets.seen[some]), "targets": self._marks(self.targets.items[some])}
            frames.append(
                top_lists(method, self.users[some], self.items, scores_of(some), k=LENGTH, seed=seed, **marks)
            )
        return pl.concat(frames)

    def _marks(self, codes: list[Codes]) -> csr_matrix:
        columns = np.concatenate([np.zeros(0, dtype=np.int64), *codes]) - 1
        indptr = np.cumsum([0, *map(len, codes)])
        return csr_matrix((np.ones(len(columns), dtype=bool), columns, indptr), shape=(len(codes), len(self.items)))


def retriever_lists(method: str, retriever: Retriever, asked: Asked, seed: int) -> pl.DataFrame:
    """The best of the whole catalogue by a retriever."""
    return asked.lists(method, lambda some: retriever.scores_of(asked.targets.histories[some]), seed)


def reranked_lists(method: str, candidates: Candidates, scores: Floats, asked: Asked, seed: int) -> pl.DataFrame:
    """The candidates by scores (U, m), NaN where there is none: nothing else stands in the lists."""

    def laid_out(some: slice) -> Floats:
        items, known = candidates.items[some], ~np.isnan(scores[some])
        laid: Floats = np.full((len(items), len(asked.items)), -np.inf, dtype=np.float32)
        row, place = known.nonzero()
        laid[row, items[row, place] - 1] = scores[some][row, place]
        return laid

    return asked.lists(method, laid_out, seed)


def lists_among_new(method: str, scorer: SharedPrefixScorer, asked: Asked, depth: int, seed: int) -> pl.DataFrame:
    """The `depth` best of the new items by a model's retriever, in the model's order; `asked` is among these alone."""
    candidates = Candidates.of(asked.targets, depth, retriever_of(scorer.network.cf))
    return reranked_lists(method, candidates, model_scores(scorer, candidates)[0], asked, seed)


def model_scores(
    scorer: SharedPrefixScorer, candidates: Candidates, tick: Callable[[int], None] | None = None
) -> tuple[Floats, Floats, Floats]:
    """(U, m) scores of a model, and of its language model and its retriever alone, in the order of `candidates`.

    Where the blend gives the language model no weight, it is not asked: its part is 0.
    """
    network, rows = scorer.network, candidates.rows()
    llm = scorer.language_scores(rows, tick) if network.uses_llm else np.zeros(len(rows), dtype=np.float32)
    retriever = network.cf.score(rows)
    scores = network.blended(llm, retriever, rows) if network.blends else llm
    laid_out = candidates.laid_out
    return laid_out(scores), laid_out(llm), laid_out(retriever)


def weighted(columns: Sequence[Floats], lists: Candidates, weights: NDArray[np.float64]) -> Floats:
    """(U, m) the sum of scores (U, m) by weights (F,), NaN where there is no item."""
    both: Floats = (stacked(columns, lists) @ weights).astype(np.float32)
    return both


def stacked(columns: Sequence[Floats], lists: Candidates) -> NDArray[np.float64]:
    """(U, m, F) several scores of lists, NaN where there is no item."""
    return np.stack([np.where(lists.items > 0, column, np.nan) for column in columns], axis=-1).astype(np.float64)


def language_share(weights: Floats, llm: Floats, retriever: Floats) -> float:
    """How much of what sets the items of a list apart is the language model's, 0 to 1.

    Args:
        weights: a and b of the score a x LLM + b x retriever.
        llm: (U, m) the language model's part, NaN where there is no item.
        retriever: (U, m) the retriever's.
    """
    there = ~np.isnan(llm)
    spreads = [
        abs(float(weight)) * float(np.nanmean(np.nanstd(np.where(there, part, np.nan), axis=1)))
        for weight, part in zip(weights, (llm, retriever), strict=True)
    ]
    return spreads[0] / sum(spreads) if sum(spreads) else 0.0
