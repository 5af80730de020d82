"""Rows of the rating task, measured by the scores of labelled rows; a fusion comes with its method."""

from typing import Any

from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.scorer import Scorer
from ccf_llm.data.rows import Floats
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.cf import read_cost
from ccf_llm.experiments.evaluate_rating import fit_fusion, measure
from ccf_llm.experiments.fill import Filler
from ccf_llm.experiments.results import fusions
from ccf_llm.experiments.train import Effort, Trained
from ccf_llm.io.progress import advance_of


class RatingFiller(Filler):
    """What is kept of a row's answers: (N,) log-odds of the part's rows."""

    def headline(self, figures: dict[str, Any]) -> str:
        """AUC and UAUC."""
        return f"AUC {figures['auc']:.4f}, UAUC {figures['uauc'] or float('nan'):.4f}"

    def needed_cf(self, missing: list[str]) -> list[str]:
        """The other halves of fusions."""
        return [kind for name in self.config.methods for kind in self._fusions(name, missing).values()]

    def wanted_methods(self, missing: list[str]) -> set[str]:
        """Those in `missing`, and those that decide in a fusion there."""
        return {name for name in self.config.methods if name in missing or self._fusions(name, missing)}

    def measure_cf(self, row: str, model: Scorer) -> tuple[Floats, dict[str, Any]]:
        """Its log-odds, and their figures."""
        scores = model.score(self.dataset.rows(self.store.part))
        return scores, self._figures(row, scores)

    def fill_further(self, missing: list[str]) -> None:
        """There are none."""

    def finish(self, method: Trained, missing: list[str]) -> None:
        """Its own row, and its fusions with a CF row."""
        fused = self._fusions(method.name, missing)
        # Its scores are half of a fusion's.
        if method.name in missing or (fused and not self.store.is_current(method.name, self.config, self.dataset)):
            self._method(method)
        for row, kind in fused.items():
            self._fusion(row, method, kind)

    def _fusions(self, method: str, missing: list[str]) -> dict[str, str]:
        return {row: kind for row, kind in fusions(self.config, method).items() if row in missing}

    def _method(self, method: Trained) -> None:
        scorer, rows = self.scorer(method), self.dataset.rows(self.store.part)
        with self.scoring_cost() as cost:
            llm = scorer.language_scores(rows, advance_of(self.scoring, method.name, len(rows)))
            scores = scorer.blend(llm, rows)
        settings = self.config.resolved[method.name]
        cf = settings.cf if settings.reads_cf else None
        more: dict[str, Any] = {"curves": method.curves}
        if method.network.blends:
            alone = {"auc": auc(rows.labels, llm), "uauc": uauc(rows.users, rows.labels, llm)[0]}
            more |= {"llm_alone": alone, "blend": method.network.blend.weights.tolist()}
        self._keep(method.name, cf, scores, method.effort, cost, more)

    def _fusion(self, row: str, method: Trained, kind: str) -> None:
        """Costs no training beyond that of both its parts."""
        cf = load_cf(self.folder.cf(kind))
        with self.scoring_cost() as cost:
            valid = self.dataset.rows("valid")
            blend = fit_fusion(self.config, valid, method.name, self.scorer(method), cf, self.scoring)
            told = self.store.scores(method.name, self.config.seed)
            scores = blend(told, cf.score(self.dataset.rows(self.store.part)))
        fit, done = read_cost(self.folder.cf(kind)), method.effort
        effort = Effort(done.seconds | {kind: fit.seconds}, done.trained, done.peaks_mb | {kind: fit.peak_mb})
        self._keep(row, kind, scores, effort, cost, {"blend": blend.weights.tolist()})

    def _keep(self, row: str, cf: str | None, scores: Floats, effort: Effort, cost: Any, more: Any = None) -> None:
        self.keep(row, cf, scores, self._figures(row, scores), effort, cost, more)

    def _figures(self, row: str, scores: Floats) -> dict[str, Any]:
        part, rows = self.store.part, self.dataset.rows(self.store.part)
        found = measure(self.dataset, rows, {row: scores}, self.trained.counts, part=part, seed=self.config.seed)
        figures = {name: value for name, value in found["models"][row].items() if name != "diff"}
        return figures | {"rows": found["rows"]}
