"""The table of a comparison: mean and spread over seeds, paired intervals, published figures in the same rows."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.bootstrap import bootstrap_auc, bootstrap_uauc, draw_users, interval
from ccf_llm.evaluation.doubtful import doubtful
from ccf_llm.evaluation.metrics import Doubles
from ccf_llm.evaluation.rating import K

FIGURES = ("auc", "uauc")


@dataclass(frozen=True)
class Measured:
    """A row of one seed."""

    result: dict[str, Any]
    """Figures and costs, as `ccf-llm compare` writes them."""
    scores: NDArray[np.float32]
    """(N,) log-odds."""


def compare_rows(
    rows: Rows,
    found: Mapping[str, Mapping[int, Measured]],
    *,
    main: str,
    baseline: str,
    papers: Mapping[str, str | None],
    about: dict[str, Any],
    test_hash: str = "",
    missing: Sequence[str] = (),
    draws: int = 1000,
) -> dict[str, Any]:
    """The whole table as plain values, best AUC first.

    A paired difference to another row is a bootstrap over users: a draw of users is the same for both rows and for all
    seeds; the difference of a draw is that of the two rows' figures of one seed, averaged over the seeds that both
    have. Its interval so covers the choice of test users and, by the average, the seeds that were run.

    Args:
        rows: the labelled rows that all scores are of.
        found: row -> seed -> what was measured.
        main, baseline: the rows that every other is compared with; one that is not there gives no differences.
        papers: of which system each language-model row is a version; None marks ours.
        about: further entries at the top, such as the data set's name.
        test_hash: of the test rows, so that published figures stand only beside those of the same rows.
        missing: rows that were not run, in words.
    """
    users, column = np.unique(rows.users, return_inverse=True)
    sampled = draw_users(len(users), draws, seed=0)
    samples = {
        row: {seed: _samples(column, rows, one.scores, sampled) for seed, one in seeds.items()}
        for row, seeds in found.items()
    }
    lines = []
    for row, seeds in found.items():
        line = _line(
            [one.result for one in seeds.values()], papers.get(row), ours=row in papers and papers[row] is None
        )
        for name, other in (("vs_main", main), ("vs_mean", baseline)):
            known = other in found and other != row
            line[name] = _difference(found[row], found[other], samples[row], samples[other]) if known else None
        lines.append(line)
    lines += published(str(about.get("dataset")), test_hash) if about.get("part") == "test" else []
    lines.sort(key=lambda line: -(line["auc"] or 0))
    if marked := {figure: why for figure, why in doubtful(rows, K).items() if figure in FIGURES}:
        about = about | {"doubtful": marked}
    return {**about, "main": main, "baseline": baseline, "draws": draws, "rows": lines, "missing": list(missing)}


def published(dataset: str, test_hash: str) -> list[dict[str, Any]]:
    """Lines of the figures that papers report for a data set, if its test rows are those of the papers."""
    known = json.loads(files(__package__).joinpath("published.json").read_text(encoding="utf-8")).get(dataset)
    if known is None or known["test"] not in (None, test_hash):
        return []
    empty = dict.fromkeys(_line_keys())
    return [empty | row | {"seeds": [], "published": True, "ours": False} for row in known["rows"]]


def _samples(
    column: NDArray[np.int64], rows: Rows, scores: NDArray[np.float32], draws: NDArray[np.int64]
) -> dict[str, Doubles]:
    return {
        "auc": bootstrap_auc(column, rows.labels, scores, draws),
        "uauc": bootstrap_uauc(column, rows.labels, scores, draws),
    }


def _line(results: list[dict[str, Any]], paper: str | None, *, ours: bool) -> dict[str, Any]:
    """One row of the table: means over seeds."""
    first = results[0]
    return {
        "method": first["method"],
        "paper": paper,
        "ours": ours,
        "cf": first["cf"],
        "llm": first["llm"],
        "seeds": [result["seed"] for result in results],
        "auc": _mean(result["auc"] for result in results),
        "auc_sd": _spread([result["auc"] for result in results]),
        "uauc": _mean(result["uauc"] for result in results),
        "uauc_sd": _spread([result["uauc"] for result in results]),
        "users": first["uauc_users"],
        "llm_auc": _mean(result.get("llm_alone", {}).get("auc") for result in results),
        "warm_auc": _mean(result["slices"]["warm"]["auc"] for result in results),
        "cold_auc": _mean(result["slices"]["cold"]["auc"] for result in results),
        "history_auc": {
            name: _mean(result["slices"][name]["auc"] for result in results)
            for name in first["slices"]
            if name.startswith("history")
        },
        "log_loss": _mean(result["log_loss"] for result in results),
        "ece": _mean(result["calibration_error"] for result in results),
        "train_minutes": statistics.mean(result["train_seconds"] for result in results) / 60,
        "score_seconds": statistics.mean(result["score_seconds"] for result in results),
        "trainable": first["trainable"],
        "peak_mb": max(result["peak_mb"] for result in results),
        "published": False,
    }


def _line_keys() -> list[str]:
    """What a published line leaves empty."""
    keys = "paper cf llm auc_sd uauc_sd users llm_auc warm_auc cold_auc history_auc log_loss ece train_minutes"
    return [*keys.split(), "score_seconds", "trainable", "peak_mb", "vs_main", "vs_mean"]


def _difference(
    mine: Mapping[int, Measured],
    other: Mapping[int, Measured],
    my_samples: Mapping[int, dict[str, Doubles]],
    other_samples: Mapping[int, dict[str, Doubles]],
) -> dict[str, list[float | None]] | None:
    """`{figure: [difference, low, high]}`, mine minus other, over the seeds that both have."""
    seeds = [seed for seed in mine if seed in other]
    if not seeds:
        return None
    found = {}
    for figure in FIGURES:
        drawn = np.mean([my_samples[seed][figure] - other_samples[seed][figure] for seed in seeds], axis=0)
        both = [(mine[seed].result[figure], other[seed].result[figure]) for seed in seeds]
        gap = _mean(None if None in pair else pair[0] - pair[1] for pair in both)
        found[figure] = [gap, *(None if np.isnan(end) else end for end in interval(drawn))]
    return found


def _mean(values: Any) -> float | None:
    """The mean; None where a figure is not defined for some seed."""
    listed = list(values)
    return None if None in listed else statistics.mean(listed)


def _spread(values: list[float | None]) -> float | None:
    """Standard deviation over seeds; None for one seed alone."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) == len(values) > 1 else None
