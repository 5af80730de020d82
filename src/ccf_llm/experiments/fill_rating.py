"""Rows of the rating task, measured by the scores of labelled rows; the late fusion comes with its text-only method."""

from typing import Any

from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.scorer import Scorer
from ccf_llm.data.rows import Floats
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.cf import read_cost
from ccf_llm.experiments.config import LATE_FUSION
from ccf_llm.experiments.evaluate_rating import fit_late_fusion, measure
from ccf_llm.experiments.fill import Filler
from ccf_llm.experiments.train import Effort, Trained
from ccf_llm.io.progress import advance_of


class RatingFiller(Filler):
    """What is kept of a row's answers: (N,) log-odds of the part's rows."""

    def headline(self, figures: dict[str, Any]) -> str:
        """AUC and UAUC."""
        return f"AUC {figures['auc']:.4f}, UAUC {figures['uauc'] or float('nan'):.4f}"

    def needed_cf(self, missing: list[str]) -> list[str]:
        """The other half of the late fusion."""
        return [self.config.cf.model] if LATE_FUSION in missing else []

    def wanted_methods(self, missing: list[str]) -> set[str]:
        """Those in `missing`, and the text-only one where the late fusion is."""
        wanted = {row for row in missing if row in self.config.methods}
        text = self.config.resolved.text_only
        return wanted | ({text} if text and LATE_FUSION in missing else set())

    def measure_cf(self, row: str, model: Scorer) -> tuple[Floats, dict[str, Any]]:
        """Its log-odds, and their figures."""
        scores = model.score(self.dataset.rows(self.store.part))
        return scores, self._figures(row, scores)

    def fill_further(self, missing: list[str]) -> None:
        """There are none."""

    def finish(self, method: Trained, missing: list[str]) -> None:
        """Its own row, and the late fusion."""
        late = LATE_FUSION in missing and method.name == self.config.resolved.text_only
        # The scores of the text-only method are half of the late fusion's.
        if method.name in missing or (late and not self.store.is_current(method.name, self.config, self.dataset)):
            self._method(method)
        if late:
            self._late_fusion(method)

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

    def _late_fusion(self, text: Trained) -> None:
        """Costs no training beyond that of both its parts."""
        kind = self.config.cf.model
        cf = load_cf(self.folder.cf(kind))
        with self.scoring_cost() as cost:
            blend = fit_late_fusion(self.config, self.dataset.rows("valid"), self.scorer(text), cf, self.scoring)
            scores = blend(self.store.scores(text.name, self.config.seed), cf.score(self.dataset.rows(self.store.part)))
        fit = read_cost(self.folder.cf(kind))
        effort = Effort(
            text.effort.seconds | {kind: fit.seconds}, text.effort.trained, text.effort.peaks_mb | {kind: fit.peak_mb}
        )
        self._keep(LATE_FUSION, kind, scores, effort, cost)

    def _keep(self, row: str, cf: str | None, scores: Floats, effort: Effort, cost: Any, more: Any = None) -> None:
        self.keep(row, cf, scores, self._figures(row, scores), effort, cost, more)

    def _figures(self, row: str, scores: Floats) -> dict[str, Any]:
        part, rows = self.store.part, self.dataset.rows(self.store.part)
        found = measure(self.dataset, rows, {row: scores}, self.trained.counts, part=part, seed=self.config.seed)
        figures = {name: value for name, value in found["models"][row].items() if name != "diff"}
        return figures | {"rows": found["rows"]}
