"""Every compared system on the same rows, for several seeds: train and measure what is missing, then make the table."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ccf_llm.cf.kinds import VECTORS, load_cf
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.comparison import Measured, compare_rows
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.cf import fit_cf, read_cost
from ccf_llm.experiments.check import check_run
from ccf_llm.experiments.config import CF_METHODS, LATE_FUSION, RunConfig
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.evaluate import advance_of, circumstances, fit_late_fusion, measure
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.results import ResultFolder, about_data, comparison_rows, row_config
from ccf_llm.experiments.train import Effort, Trained, train_methods
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.progress import Advance, Say
from ccf_llm.reports.comparison_page import write_comparison
from ccf_llm.scoring import PrefixFiles, SharedPrefixScorer
from ccf_llm.training.loop import Report


def compare_run(
    config: RunConfig,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    only: Collection[str] = (),
    results: Path | None = None,
    part: Part = "test",
    say: Say = print,
    report: Report | None = None,
    scoring: Advance | None = None,
) -> ResultFolder:
    """Train and measure every row for every seed, unless its result is there already, and write the table.

    Args:
        config: the run. Seed N of it is trained in `<output>/seed-N`, which is a run like any other.
        seeds: of all random choices in training.
        only: rows to train and measure now; the table still has all that are measured. Empty: all.
        results: where results and table are kept; None: `<output>/comparison`.
        part: what is measured. Choose on valid; test is for the final figure.
        say: gets a line for each finished part.
        report, scoring: get every training step and every scored batch, for progress bars.

    Raises:
        CCFError: a row that is not in the configuration, or bad input.
    """
    rows = comparison_rows(config)
    unknown = [row for row in only if row not in rows]
    if unknown:
        raise CCFError(f"--only {unknown[0]}: not one of the rows {', '.join(rows)}")
    dataset = open_split(config)
    store = ResultFolder(results or config.output / "comparison", part)
    wanted = [row for row in rows if not only or row in only]
    runs = {seed: seeded(config, seed) for seed in seeds}
    lacking = {seed: [row for row in wanted if not store.is_current(row, one, dataset)] for seed, one in runs.items()}
    if any(lacking.values()):
        check_run(config, dataset, {row for missing in lacking.values() for row in missing}, measured=[part])
    for seed, missing in lacking.items():
        if missing:
            one = runs[seed]
            say(f"seed {seed}: {', '.join(missing)}")
            with PrefixFiles(RunFolder(one.output).prefixes) as prefixes:
                _Filler(one, dataset, store, prefixes, say, report, scoring).fill(missing)
    write_table(config, dataset, store, seeds)
    return store


def write_table(config: RunConfig, dataset: Dataset, store: ResultFolder, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """The table of all current results in the folder, as table.json, .md and .html with plots; also returned.

    `seeds` are those that are expected: what is missing of them is named.
    """
    rows = comparison_rows(config)
    found: dict[str, dict[int, Measured]] = {}
    missing: list[str] = []
    every = sorted({*seeds, *(seed for row in rows for seed in store.seeds(row))})
    for row in rows:
        there = [seed for seed in every if store.is_current(row, seeded(config, seed), dataset)]
        if there:
            found[row] = {seed: Measured(store.load(row, seed), store.scores(row, seed)) for seed in there}
        missing += _what_is_missing(row, store, [seed for seed in every if seed not in there])
    if not found:
        raise CCFError(f"{store.path}: no result of these settings to make a table of; run ccf-llm compare")
    table = compare_rows(
        dataset.rows(store.part),
        found,
        main=config.main,
        baseline=ItemUserMean.name,
        papers={name: method.paper for name, method in config.methods.items()},
        about={"dataset": dataset.name, "part": store.part, "llm": config.llm.model},
        test_hash=dataset.split.parts["test"].sha256 if dataset.split else "",
        missing=missing,
    )
    write_comparison(table, store.table, store.plot)
    return table


def seeded(config: RunConfig, seed: int) -> RunConfig:
    """The run of one seed, in a folder of its own."""
    return config.model_copy(update={"seed": seed, "output": config.output / f"seed-{seed}"})


def _what_is_missing(row: str, store: ResultFolder, seeds: list[int]) -> list[str]:
    """`row (seeds 1, 2)` and, where a file is there that cannot be used, why."""
    stale = [seed for seed in seeds if store.file(row, seed).is_file()]
    absent = [seed for seed in seeds if seed not in stale]
    words = []
    for which, reason in ((absent, ""), (stale, " of other settings or data, left out")):
        if which:
            words.append(f"{row} (seed{'s' * (len(which) > 1)} {', '.join(map(str, which))}{reason})")
    return words


class _Filler:
    """Trains and measures rows of one seed. Rows over one adapter share the histories that hold no slot."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        store: ResultFolder,
        prefixes: PrefixFiles,
        say: Say,
        report: Report | None,
        scoring: Advance | None,
    ) -> None:
        self.config, self.dataset, self.store, self.prefixes = config, dataset, store, prefixes
        self.say, self.report, self.scoring = say, report, scoring
        self.folder = RunFolder(config.output)
        self.rows, self.trained = dataset.rows(store.part), TrainedOn.of(dataset)

    def fill(self, missing: list[str]) -> None:
        """All rows in `missing`: CF first, then methods in training order, late fusion with its text-only method."""
        config = self.config
        self.trained.save(self.folder.data)
        cf = [row for row in missing if row in CF_METHODS]
        late = LATE_FUSION in missing
        fit_cf(self.folder, self.dataset, [*cf, *([config.cf.model] if late else [])], config.cf, config.seed, self.say)
        for row in cf:
            self._cf(row)
        methods = [row for row in missing if row in config.methods]
        text = config.resolved.text_only
        if late and text and text not in methods and not self.store.is_current(text, config, self.dataset):
            methods.append(text)  # its scores are half of the late fusion's
        wanted = {*methods, *([text] if late and text else [])}
        if not wanted:
            return
        trained = train_methods(config, self.dataset, only=wanted, say=self.say, report=self.report)
        for method in trained:
            if method.name in methods:
                self._method(method)
            if late and method.name == text:
                self._late_fusion(method)

    def _cf(self, row: str) -> None:
        fit = read_cost(self.folder.cf(row))
        with measured() as cost:
            model = load_cf(self.folder.cf(row))
            scores = model.score(self.rows)
        parameters = getattr(model, "parameters", None)
        trained = {"cf": sum(weight.numel() for weight in parameters())} if parameters else {}
        self._keep(
            row, row if row in VECTORS else None, scores, Effort({row: fit.seconds}, trained, {row: fit.peak_mb}), cost
        )

    def _method(self, method: Trained) -> None:
        scorer, rows = self._scorer(method), self.rows
        with self._scoring_cost() as cost:
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
        with self._scoring_cost() as cost:
            blend = fit_late_fusion(self.config, self.dataset.rows("valid"), self._scorer(text), cf, self.scoring)
            scores = blend(self.store.scores(text.name, self.config.seed), cf.score(self.rows))
        fit = read_cost(self.folder.cf(kind))
        effort = Effort(
            text.effort.seconds | {kind: fit.seconds}, text.effort.trained, text.effort.peaks_mb | {kind: fit.peak_mb}
        )
        self._keep(LATE_FUSION, kind, scores, effort, cost)

    def _scorer(self, method: Trained) -> SharedPrefixScorer:
        return SharedPrefixScorer(method.network, memory_mb=self.config.batch.memory_mb, cache=self.prefixes)

    @contextmanager
    def _scoring_cost(self) -> Iterator[Cost]:
        """As if no other row had read the same histories before: a row's cost does not depend on their order."""
        saved = self.prefixes.saved_seconds
        with measured() as cost:
            yield cost
        cost.seconds = round(cost.seconds + self.prefixes.saved_seconds - saved, 2)

    def _keep(
        self,
        row: str,
        cf: str | None,
        scores: Floats,
        effort: Effort,
        scoring: Cost,
        more: dict[str, Any] | None = None,
    ) -> None:
        """Measure the scores and write the result, with `more` that is known of a language-model row."""
        config = self.config
        figures = measure(
            self.dataset, self.rows, {row: scores}, self.trained.counts, part=self.store.part, seed=config.seed
        )
        result = {
            "method": row,
            "cf": cf,
            "llm": None if row in CF_METHODS else Path(config.llm.model).name,
            "seed": config.seed,
            "part": self.store.part,
            **{name: value for name, value in figures["models"][row].items() if name != "diff"},
            "trainable": sum(effort.trained.values()),
            "trained": effort.trained,
            "train_seconds": round(sum(effort.seconds.values()), 1),
            "seconds": effort.seconds,
            "score_seconds": scoring.seconds,
            "peak_mb": max([scoring.peak_mb, *effort.peaks_mb.values()]),
            "curves": [],
            **(more or {}),
            "data": about_data(self.dataset),
            "rows": figures["rows"],
            "config": row_config(config, row),
            "made": circumstances(),
        }
        self.store.save(result, scores)
        self.say(f"{row}, seed {config.seed}: AUC {result['auc']:.4f}, UAUC {result['uauc'] or float('nan'):.4f}")
