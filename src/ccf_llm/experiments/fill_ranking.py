"""Rows of the ranking task, measured by their ranked lists."""

from functools import cached_property
from typing import Any

import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.scorer import Scorer
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.fill import Filler
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, model_scores, reranked_lists, retriever_lists
from ccf_llm.experiments.train import Trained
from ccf_llm.io.progress import advance_of


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

    def needed_cf(self, missing: list[str]) -> list[str]:
        """None but the methods' own, which come with them."""
        return []

    def wanted_methods(self, missing: list[str]) -> set[str]:
        """Those in `missing`."""
        return {row for row in missing if row in self.config.methods}

    def measure_cf(self, row: str, model: Scorer) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Its lists of the whole catalogue, and their figures."""
        lists = retriever_lists(row, retriever_of(model), self.everybody, self.config.seed)
        return lists, self._figures(row, lists)

    def finish(self, method: Trained, missing: list[str]) -> None:
        """Its lists over the best of its retriever."""
        if method.name not in missing:
            return
        network, scorer = method.network, self.scorer(method)
        candidates = Candidates.of(self.some.targets, self.config.ranking.depth, retriever_of(network.cf))
        rows = int((candidates.items > 0).sum())
        with self.scoring_cost() as cost:
            scores, llm = model_scores(scorer, candidates, advance_of(self.scoring, method.name, rows))
        lists = reranked_lists(method.name, candidates, scores, self.some, self.config.seed)
        alone = reranked_lists(method.name, candidates, llm, self.some, self.config.seed)
        more = {
            "curves": method.curves,
            "llm_alone": {"ndcg@10": evaluate_lists(alone, draws=1)["models"][method.name]["ndcg@10"]},
            "blend": network.blend.weights.tolist(),
        }
        kind = self.config.resolved[method.name].cf
        self.keep(method.name, kind, lists, self._figures(method.name, lists), method.effort, cost, more)

    def _figures(self, row: str, lists: pl.DataFrame) -> dict[str, Any]:
        found = evaluate_lists(lists, self.known)
        figures = {name: value for name, value in found["models"][row].items() if name not in ("diff", "seeds")}
        low, high = figures["ndcg@10_ci"]
        self.say(f"{row}, seed {self.config.seed}: NDCG@10 {figures['ndcg@10']:.4f} ({low:.4f} to {high:.4f})")
        return figures | {"lists": found["lists"]}
