import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.results import ResultFolder, comparison_rows
from ccf_llm.io.files import read_json, write_json

SILENT = lambda line: None  # noqa: E731


def table_of(config: RunConfig, **options: Any) -> dict[str, Any]:
    store = compare_run(config, say=SILENT, **options)
    table: dict[str, Any] = read_json(store.table(".json"))
    return table


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("seed-*")}


def test_every_row_is_in_the_table(every_row: RunConfig, some_left: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = every_row.output / "comparison"
    before = files_of(folder)
    monkeypatch.setattr("ccf_llm.experiments.fill.Filler.fill", lambda *a: pytest.fail("a row was run again"))
    table = table_of(every_row, seeds=[0])
    assert files_of(folder) == before
    assert {line["method"] for line in table["rows"]} == set(comparison_rows(every_row))
    cf = ("item_user_mean", every_row.cf.model, *every_row.cf.compare)
    assert len(table["rows"]) == len({*cf, *every_row.methods, "late_fusion", "ccf_llm_with_trees"})
    assert (table["dataset"], table["main"], table["missing"]) == ("tiny", "ccf_llm", [])
    rows = some_left.rows("test")
    for line in table["rows"]:
        scores = ResultFolder(folder).scores(line["method"], 0)
        assert line["auc"] == pytest.approx(auc(rows.labels, scores))
        assert line["uauc"] == pytest.approx(uauc(rows.users, rows.labels, scores)[0])
        assert line["users"] == uauc(rows.users, rows.labels, scores)[1]
        assert line["seeds"] == [0]
        assert line["auc_sd"] is None
        assert line["peak_mb"] > 50
        for key, other in (("vs_main", "ccf_llm"), ("vs_mean", "item_user_mean")):
            if line["method"] == other:
                assert line[key] is None
            else:
                gap, low, high = line[key]["auc"]
                assert gap == pytest.approx(line["auc"] - next(r["auc"] for r in table["rows"] if r["method"] == other))
                assert low <= high
    ours = {line["method"] for line in table["rows"] if line["ours"]}
    assert "ccf_llm" in ours
    assert not ours & {"tallrec", "collm_mf", "binllm", "mf", "late_fusion"}


def test_results_say_how_they_came_about(every_row: RunConfig) -> None:
    folder = every_row.output / "comparison"
    for row in comparison_rows(every_row):
        text = (folder / row / "seed-0.json").read_text(encoding="utf-8")
        assert str(every_row.output) not in text
        assert str(Path(every_row.data.source).parent) not in text
        result = json.loads(text)
        assert result["made"]["machine"]
        assert result["data"]["split"]["parts"]["test"]["sha256"]
        assert result["config"]["seed"] == 0
        assert (folder / row / "seed-0.npy").stat().st_size < 30_000
    late, text_only = (read_json(folder / row / "seed-0.json") for row in ("late_fusion", "tallrec"))
    assert late["train_seconds"] >= text_only["train_seconds"] > 0  # rounded
    assert late["cf"] == "ensemble"
    shared = read_json(folder / "collm_mf" / "seed-0.json")["seconds"]
    assert {"tallrec / text", "mf", "collm_mf / mapping"} == set(shared)


def test_the_main_method_and_trees_that_read_words_decide_together(every_row: RunConfig) -> None:
    store = ResultFolder(every_row.output / "comparison")
    result = store.load("ccf_llm_with_trees", 0)
    a, b, c = result["blend"]
    both = a * store.scores("ccf_llm", 0) + b * store.scores("gbm_words", 0) + c
    np.testing.assert_allclose(store.scores("ccf_llm_with_trees", 0), both, atol=1e-5)
    assert result["cf"] == "gbm_words"
    assert {"gbm", "ensemble"} <= result["config"]["cf"].keys()


def test_the_page_and_the_plots_stand_alone(every_row: RunConfig) -> None:
    store = ResultFolder(every_row.output / "comparison")
    page = store.table(".html").read_text(encoding="utf-8")
    assert all(f">{row}<" in page for row in comparison_rows(every_row))
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?!#|data:)([^"'\s>]+)""", page) == []
    assert "<script" not in page
    markdown = store.table(".md").read_text(encoding="utf-8")
    assert "| **ccf_llm** |" in markdown
    for name in ("rows", "time"):
        assert store.plot(name).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def small(tiny_run: RunConfig) -> RunConfig:
    few = {"rows": 48, "batch_rows": 24, "evaluations": 1, "valid_rows": 60}
    stages = {name: stage.model_copy(update=few) for name, stage in tiny_run.stages.items()}
    return tiny_run.model_copy(update={"stages": stages})


def test_a_killed_comparison_goes_on(small: RunConfig) -> None:
    class KilledError(Exception):
        pass

    def kill(line: str) -> None:
        if line.startswith("llm_text, seed 0"):
            raise KilledError

    with pytest.raises(KilledError):
        compare_run(small, seeds=[0], say=kill)
    folder = small.output / "comparison"
    before = files_of(folder)
    assert {path.parent.name for path in before} == {"item_user_mean", "mf", "llm_text"}
    steps: set[str] = set()
    compare_run(small, seeds=[0], say=SILENT, report=lambda stage, *_: steps.add(stage))
    after = files_of(folder)
    assert {path.parent.name for path in after} == {"item_user_mean", "mf", "llm_text", "ccf_llm", "late_fusion"}
    assert before.items() <= after.items()
    assert steps == {"ccf_llm / fusion"}
    whole = small.model_copy(update={"output": small.output.with_name("whole")})
    compare_run(whole, seeds=[0], say=SILENT)
    for path in after:
        if path.suffix == ".npy":  # killed or not, the scores are the same
            np.testing.assert_array_equal(
                np.load(path), np.load(whole.output / "comparison" / path.parent.name / path.name)
            )


def test_seeds_only_and_what_is_stale(small: RunConfig) -> None:
    table = table_of(small, seeds=[0, 1], only=["mf"])
    (line,) = table["rows"]
    assert (line["method"], line["seeds"]) == ("mf", [0, 1])
    assert line["auc_sd"] > 0
    assert line["vs_main"] is None
    assert "llm_text (seeds 0, 1)" in table["missing"]
    table = table_of(small, seeds=[0], only=["late_fusion"])
    assert {row["method"]: row["seeds"] for row in table["rows"]} == {
        "mf": [0, 1],
        "llm_text": [0],  # half of the late fusion
        "late_fusion": [0],
    }
    mf = small.cf.mf.model_copy(update={"dim": 4})
    changed = small.model_copy(update={"cf": small.cf.model_copy(update={"mf": mf})})
    table = table_of(changed, seeds=[0], only=["item_user_mean"])
    assert {row["method"] for row in table["rows"]} == {"item_user_mean", "llm_text"}  # what reads no MF is current
    assert "mf (seeds 0, 1 of other settings or data, left out)" in table["missing"]


def test_other_data_make_results_stale(small: RunConfig, tiny_data: Dataset) -> None:
    table_of(small, seeds=[0], only=["mf", "item_user_mean"])
    first = tiny_data.interactions.with_row_index().filter(pl.col("index") > 0).drop("index")
    Dataset.from_frames(first, tiny_data.items, name="tiny").save(small.data.source)
    table = table_of(small, seeds=[0], only=["item_user_mean"])
    assert [row["method"] for row in table["rows"]] == ["item_user_mean"]
    assert "mf (seed 0 of other settings or data, left out)" in table["missing"]


def test_a_setting_that_is_younger_than_a_result_makes_nothing_stale(small: RunConfig) -> None:
    table_of(small, seeds=[0], only=["mf"])
    path = small.output / "comparison" / "mf" / "seed-0.json"
    result = read_json(path)
    assert small.cf.mf.patience == 5
    del result["config"]["cf"]["mf"]["patience"]  # as if there had been no such setting
    write_json(path, result)
    assert [row["method"] for row in table_of(small, seeds=[0], only=["mf"])["rows"]] == ["mf"]


def test_valid_and_test_lie_apart(small: RunConfig) -> None:
    on_test = table_of(small, seeds=[0], only=["mf"])
    on_valid = table_of(small, seeds=[0], only=["mf"], part="valid")
    assert on_test["rows"][0]["auc"] != on_valid["rows"][0]["auc"]
    assert (small.output / "comparison" / "mf" / "valid-seed-0.npy").is_file()
    assert [len(t["rows"]) for t in (on_test, on_valid)] == [1, 1]


def test_faults_are_named(small: RunConfig) -> None:
    with pytest.raises(CCFError, match="--only x: not one of the rows item_user_mean, mf, llm_text"):
        compare_run(small, only=["x"], say=SILENT)
    table_of(small, seeds=[0], only=["mf"])
    scores = small.output / "comparison" / "mf" / "seed-0.npy"
    scores.write_bytes(scores.read_bytes()[:100])
    with pytest.raises(CCFError, match=r"mf/seed-0\.npy: missing or damaged; delete .*seed-0\.json"):
        compare_run(small, seeds=[0], only=["mf"], say=SILENT)
