"""Every compared system on the same rows, for several seeds: train and measure what is missing, then make the table."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.comparison import Measured, compare_rows
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.list_comparison import compare_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.check import check_run
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.fill_ranking import RankingFiller
from ccf_llm.experiments.fill_rating import RatingFiller
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.results import ResultFolder, comparison_rows, reads_genres
from ccf_llm.io.files import own_folder
from ccf_llm.io.progress import Advance, Say
from ccf_llm.reports.comparison_page import write_comparison
from ccf_llm.reports.ranking_page import write_ranking
from ccf_llm.scoring import PrefixFiles
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
    filler = RankingFiller if config.ranks else RatingFiller
    for seed, missing in lacking.items():
        if missing:
            one = runs[seed]
            say(f"seed {seed}: {', '.join(missing)}")
            with PrefixFiles(own_folder(RunFolder(one.output).prefixes)) as prefixes:
                filler(one, dataset, store, prefixes, say, report, scoring).fill(missing)
    write_table(config, dataset, store, seeds)
    return store


def write_table(config: RunConfig, dataset: Dataset, store: ResultFolder, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """The table of all current results in the folder, as table.json, .md and .html with plots; also returned.

    `seeds` are those that are expected: what is missing of them is named.
    """
    rows = comparison_rows(config)
    missing: list[str] = []
    there: dict[str, list[int]] = {}
    every = sorted({*seeds, *(seed for row in rows for seed in store.seeds(row))})
    for row in rows:
        current = [seed for seed in every if store.is_current(row, seeded(config, seed), dataset)]
        if current:
            there[row] = current
        missing += _what_is_missing(row, store, [seed for seed in every if seed not in current])
    if not there:
        raise CCFError(f"{store.path}: no result of these settings to make a table of; run ccf-llm compare")
    table = (_ranking_table if config.ranks else _rating_table)(config, dataset, store, there, missing)
    (write_ranking if config.ranks else write_comparison)(table, store.table, store.plot)
    return table


def _rating_table(
    config: RunConfig, dataset: Dataset, store: ResultFolder, there: dict[str, list[int]], missing: list[str]
) -> dict[str, Any]:
    found = {
        row: {seed: Measured(store.load(row, seed), store.scores(row, seed)) for seed in seeds}
        for row, seeds in there.items()
    }
    genres = [row for row in there if reads_genres(config, row)]
    return compare_rows(
        dataset.rows(store.part),
        found,
        main=config.main,
        baseline=ItemUserMean.name,
        papers={name: method.paper for name, method in config.methods.items()},
        about={"dataset": dataset.name, "part": store.part, "llm": config.llm.model}
        | ({"genres": genres} if genres else {}),
        test_hash=dataset.split.parts["test"].sha256 if dataset.split else "",
        missing=missing,
    )


def _ranking_table(
    config: RunConfig, dataset: Dataset, store: ResultFolder, there: dict[str, list[int]], missing: list[str]
) -> dict[str, Any]:
    found = [store.lists_of_new(row, seed) for row, seeds in there.items() for seed in seeds]
    new = [lists for lists in found if lists is not None]
    return compare_lists(
        {row: [store.load(row, seed) for seed in seeds] for row, seeds in there.items()},
        pl.concat(store.lists(row, seed) for row, seeds in there.items() for seed in seeds),
        Known.of(dataset, store.part),
        main=config.main,
        baseline=config.cf.model,
        papers={name: method.paper for name, method in config.methods.items()},
        about={"dataset": dataset.name, "part": store.part, "llm": config.llm.model},
        missing=missing,
        among_new=evaluate_lists(pl.concat(new), Known.of(dataset, store.part, "new")) if new else None,
    )


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
