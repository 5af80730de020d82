"""Rows of the ranking task, measured by their ranked lists."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.scorer import Scorer
from ccf_llm.data.rows import Floats
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.config import TREES, TREES_WORDS, WITH_TREES
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.fill import Filler
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import (
    Asked,
    lists_among_new,
    model_scores,
    reranked_lists,
    retriever_lists,
    stacked,
    weighted,
)
from ccf_llm.experiments.train import Effort, Trained
from ccf_llm.experiments.trees import TreeRows
from ccf_llm.io.progress import advance_of
from ccf_llm.model.choice import tried

WEIGHED = 300
"""People by whose valid lists language model, retriever and trees are weighed."""


class RankingFiller(Filler):
    """What is kept of a row's answers: its lists (see `evaluation.lists`)."""

    @cached_property
    def known(self) -> Known:
        """What the data set knows of the lists."""
        return Known.of(self.dataset, self.store.part)

    @cached_property
    def everybody(self) -> Asked:
        """Whom retrievers are asked for."""
        return Asked.of(self.dataset, self.store.part)

    @cached_property
    def some(self) -> Asked:
        """Whom language models are asked for."""
        return Asked.of(self.dataset, self.store.part, self.config.ranking.people)

    @cached_property
    def some_new(self) -> Asked:
        """Those of them who like what the split held out, asked for that alone."""
        return Asked.of(self.dataset, self.store.part, self.config.ranking.people, "new")

    @cached_property
    def trees(self) -> TreeRows:
        """What the trees learn from, and those that are fitted already."""
        return TreeRows.of_run(self.config, self.folder, self.dataset, self.say)

    def fill_further(self, missing: list[str]) -> None:
        """The trees alone."""
        for row in (TREES, TREES_WORDS):
            if row in missing:
                self._trees(row)

    def headline(self, figures: dict[str, Any]) -> str:
        """NDCG, with its interval."""
        low, high = figures["ndcg@10_ci"]
        return f"NDCG@10 {figures['ndcg@10']:.4f} ({low:.4f} to {high:.4f})"

    def needed_cf(self, missing: list[str]) -> list[str]:
        """None but the methods' own, which come with them."""
        return []

    def wanted_methods(self, missing: list[str]) -> set[str]:
        """Those in `missing`, and the main one where it is to decide with the trees."""
        return {row.removesuffix(WITH_TREES) for row in missing if row.removesuffix(WITH_TREES) in self.config.methods}

    def measure_cf(self, row: str, model: Scorer) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Its lists of the whole catalogue, and their figures."""
        lists = retriever_lists(row, retriever_of(model), self.everybody, self.config.seed)
        return lists, self._figures(row, lists)

    def of_new(self, row: str, model: Scorer) -> pl.DataFrame | None:
        """Its lists of new items among themselves."""
        asked = Asked.of(self.dataset, self.store.part, among="new")
        return retriever_lists(row, retriever_of(model), asked, self.config.seed) if asked.users else None

    def finish(self, method: Trained, missing: list[str]) -> None:
        """Its lists over the best of its retriever, and those of it and the trees together."""
        network, scorer = method.network, self.scorer(method)
        candidates = Candidates.of(self.some.targets, self.config.ranking.depth, retriever_of(network.cf))
        tick = advance_of(self.scoring, method.name, int((candidates.items > 0).sum()))
        with self.scoring_cost() as cost:
            scores, llm, retriever = model_scores(scorer, candidates, tick)
        kind = self.config.resolved[method.name].cf
        if method.name in missing:
            lists = reranked_lists(method.name, candidates, scores, self.some, self.config.seed)
            alone = reranked_lists(method.name, candidates, llm, self.some, self.config.seed)
            more = {
                "curves": method.curves,
                "llm_alone": {"ndcg@10": evaluate_lists(alone, draws=1)["models"][method.name]["ndcg@10"]},
                "blend": network.blend.weights.tolist(),
            }
            new, depth = None, self.config.ranking.depth
            if self.some_new.users:
                new = lists_among_new(method.name, scorer, self.some_new, depth, self.config.seed)
            self.keep(method.name, kind, lists, self._figures(method.name, lists), method.effort, cost, more, new)
        row = method.name + WITH_TREES
        if row in missing:
            trees, fit = self.trees.fitted(words=True)
            people = np.sort(np.random.default_rng(self.config.seed).permutation(len(self.trees.valid))[:WEIGHED])
            valid = self.trees.valid.take(people)
            own = valid.rows()
            told = [valid.laid_out(scores) for scores in (scorer.language_scores(own), network.cf.score(own))]
            weights = _weigh([*told, self.trees.held_out(words=True)[people]], valid)
            both = weighted([llm, retriever, trees.scores(candidates)], candidates, weights)
            lists = reranked_lists(row, candidates, both, self.some, self.config.seed)
            effort = replace(method.effort, seconds=method.effort.seconds | self._seconds(TREES_WORDS, fit))
            self.keep(row, kind, lists, self._figures(row, lists), effort, cost, {"weights": weights.tolist()})

    def _trees(self, row: str) -> None:
        _, fit = self.trees.fitted(words=row == TREES_WORDS)
        with measured() as cost:
            lists = self.trees.lists(row, self.everybody)
        effort = Effort(self._seconds(row, fit), {}, {row: fit.peak_mb})
        self.keep(row, self.config.cf.model, lists, self._figures(row, lists), effort, cost)

    def _seconds(self, row: str, fit: Cost) -> dict[str, float]:
        return self.trees.shared | {row: fit.seconds}

    def _figures(self, row: str, lists: pl.DataFrame) -> dict[str, Any]:
        found = evaluate_lists(lists, self.known)
        figures = {name: value for name, value in found["models"][row].items() if name not in ("diff", "seeds")}
        return figures | {"lists": found["lists"]}


def _weigh(columns: list[Floats], valid: Candidates) -> NDArray[np.float64]:
    """(3,) weights of language model, retriever and trees, by people held out."""
    known = valid.relevant.any(1)
    subsets = ([2], [0, 1], [1, 2], [0, 2], [0, 1, 2])
    fits = tried(stacked(columns, valid)[known], valid.relevant[known], subsets)
    return min(fits, key=lambda fit: fit[0])[1]
