import json
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccf_llm.data.rows import Rows
from ccf_llm.evaluation import evaluate
from ccf_llm.evaluation.comparison import Measured, compare_rows, published
from ccf_llm.evaluation.metrics import auc
from ccf_llm.reports.comparison_page import to_markdown, write_comparison
from ccf_llm.reports.plots import auc_by_time, rows_by_figure, to_svg
from tiny import random_rows

HOSTILE = "<b>a|b</b>"
ML_1M = "af5f30c11bddd6cf35aeb98e317384ec62abd7d60f11ccd22c7969e95934b0e7"


@pytest.fixture(scope="module")
def rows() -> Rows:
    return random_rows(np.random.default_rng(0), 240, users=15, histories=[0, 3, 51])


def measured(rows: Rows, method: str, seed: int, strength: float) -> Measured:
    rng = np.random.default_rng([seed, *method.encode()])
    scores = (strength * rows.labels + rng.normal(size=len(rows))).astype(np.float32)
    counts = {"user_counts": np.arange(16), "item_counts": np.full(11, 5)}
    figures = evaluate(rows, {method: scores}, **counts, draws=20).to_json()["models"][method]
    costs = {"trainable": 1234, "train_seconds": 90.0, "score_seconds": 2.0, "peak_mb": 321.0}
    return Measured({"method": method, "cf": None, "llm": "tiny", "seed": seed, **figures, **costs}, scores)


@pytest.fixture(scope="module")
def found(rows: Rows) -> dict[str, dict[int, Measured]]:
    strengths = {"ours": 2.0, "mean": 1.0, HOSTILE: 0.5}
    return {name: {seed: measured(rows, name, seed, s) for seed in (0, 1)} for name, s in strengths.items()}


@pytest.fixture(scope="module")
def table(rows: Rows, found: dict[str, dict[int, Measured]]) -> dict[str, Any]:
    return compare_rows(
        rows,
        found,
        main="ours",
        baseline="mean",
        papers={"ours": None, HOSTILE: "A paper"},
        about={"dataset": "d", "part": "test", "llm": "tiny"},
        missing=["gone (seed 0)"],
        draws=300,
    )


def line_of(table: dict[str, Any], method: str) -> dict[str, Any]:
    (line,) = [line for line in table["rows"] if line["method"] == method]
    return line


def test_mean_and_spread_over_seeds(table: dict[str, Any], found: dict[str, dict[int, Measured]]) -> None:
    assert [line["method"] for line in table["rows"]] == ["ours", "mean", HOSTILE]
    values = [one.result["auc"] for one in found["ours"].values()]
    line = line_of(table, "ours")
    assert line["auc"] == pytest.approx(np.mean(values))
    assert line["auc_sd"] == pytest.approx(np.std(values, ddof=1))
    assert (line["seeds"], line["train_minutes"], line["ours"], line["published"]) == ([0, 1], 1.5, True, False)
    assert not line_of(table, "mean")["ours"]
    assert line_of(table, HOSTILE)["paper"] == "A paper"


def test_differences_are_paired_over_users_and_averaged_over_seeds(
    table: dict[str, Any], rows: Rows, found: dict[str, dict[int, Measured]]
) -> None:
    gap, low, high = line_of(table, "mean")["vs_main"]["auc"]
    pairs = [(found["mean"][seed].scores, found["ours"][seed].scores) for seed in (0, 1)]
    assert gap == pytest.approx(np.mean([auc(rows.labels, a) - auc(rows.labels, b) for a, b in pairs]))
    rng = np.random.default_rng(1)
    by_user = [np.flatnonzero(rows.users == user) for user in np.unique(rows.users)]
    drawn = []
    for _ in range(300):  # the slow way: rows of the drawn users, copied
        chosen = np.concatenate([by_user[u] for u in rng.integers(0, len(by_user), len(by_user))])
        one = [auc(rows.labels[chosen], a[chosen]) - auc(rows.labels[chosen], b[chosen]) for a, b in pairs]
        drawn.append(np.mean(one))
    np.testing.assert_allclose([low, high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)
    assert high < 0
    assert line_of(table, "ours")["vs_main"] is None
    ours, back = line_of(table, "ours")["vs_mean"]["auc"], line_of(table, "mean")["vs_main"]["auc"]
    np.testing.assert_allclose(ours, [-back[0], -back[2], -back[1]])


def test_a_difference_is_over_the_seeds_that_both_have(rows: Rows, found: dict[str, dict[int, Measured]]) -> None:
    part = {"ours": found["ours"], "mean": {1: found["mean"][1]}, HOSTILE: {2: found[HOSTILE][0]}}
    options = {"main": "ours", "baseline": "mean", "papers": {}, "about": {"dataset": "d"}, "draws": 20}
    table = compare_rows(rows, part, **options)
    expected = found["mean"][1].result["auc"] - found["ours"][1].result["auc"]
    assert line_of(table, "mean")["vs_main"]["auc"][0] == pytest.approx(expected)
    assert line_of(table, "mean")["auc_sd"] is None
    assert line_of(table, HOSTILE)["vs_main"] is None


def test_published_figures_stand_beside_the_same_rows_only() -> None:
    lines = published("ml-1m-benchmark", ML_1M)
    assert {line["method"] for line in lines} >= {"BinLLM", "ARROW", "TALLRec", "MF"}
    arrow = line_of({"rows": lines}, "ARROW")
    assert (arrow["auc"], arrow["uauc"], arrow["llm"], arrow["published"]) == (0.7577, 0.7146, "Vicuna-7B", True)
    assert arrow["seeds"] == []
    assert arrow["vs_main"] is None
    assert published("ml-1m-benchmark", "another") == []
    assert published("tiny", ML_1M) == []


def test_rows_that_read_genres_are_marked(table: dict[str, Any]) -> None:
    assert "†" not in to_markdown(table)
    marked = to_markdown({**table, "genres": ["ours"]})
    assert "ours †" in marked
    assert "mean †" not in marked
    assert "Rows marked † read genres" in marked


def test_pages_escape_and_show_everything(table: dict[str, Any], tmp_path: Path) -> None:
    papers = {**table, "rows": [*table["rows"], *published("ml-1m-benchmark", ML_1M)]}
    write_comparison(papers, lambda suffix: tmp_path / f"table{suffix}", lambda name: tmp_path / f"{name}.png")
    assert json.loads((tmp_path / "table.json").read_text()) == papers
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "ARROW, Vicuna-7B" in page
    assert "gone (seed 0)" in page
    markdown = to_markdown(papers).splitlines()
    lines = [line for line in markdown if line.startswith("|")]
    cells = {line.replace(r"\|", "").count("|") for line in lines}
    assert len(cells) == 1
    assert any(line.startswith("| **ours** | tiny | \N{EN DASH} | 2 |") for line in lines)
    assert any("± " in line for line in lines)
    assert markdown[-1] == "Not run: gone (seed 0)."


def test_plots_are_drawn_where_little_is_known(table: dict[str, Any]) -> None:
    bare = {**table, "rows": [line for line in published("ml-1m-benchmark", ML_1M) if line["uauc"] is None]}
    for draw in (rows_by_figure, auc_by_time):
        for case in (table, bare):
            svg = to_svg(partial(draw, case), "p")
            ET.fromstring(svg)
            assert "mathdefault" not in svg
