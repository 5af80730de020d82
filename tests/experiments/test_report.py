"""The report of a run of the ranking task, as the command line makes it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from ccf_llm.cli.evaluate import evaluate
from ccf_llm.data.split import user_time_split
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.ranked import language_share
from ccf_llm.experiments.report import keep_recommendations, report_run
from ccf_llm.experiments.train import train_run
from ccf_llm.io.files import read_json, write_json
from html_reader import Reader

PEOPLE = 10


def values(llm: Path, folder: Path) -> dict[str, Any]:
    stage = {"train": ["lora", "fusion"], "residual": True, "rows": 96, "batch_rows": 48, "evaluations": 1}
    return tiny.run_values(llm, folder) | {
        "task": "ranking",
        "notes": ["A note of the configuration."],
        "cf": {"model": "ease", "compare": ["popularity"], "folds": 0, "ease": {"l2": 5.0, "dim": 8}},
        "ranking": {"cuts": 2, "size": 6, "positives": 2, "depth": 12, "people": PEOPLE},
        "stages": {"lists": stage},
        "methods": {
            "llm_text": {"fusion": {"variant": "semantic"}, "stages": ["lists"]},
            "ccf_llm": {"stages": ["lists"]},
        },
    }


@pytest.fixture(scope="module")
def run(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two methods, evaluated for some people."""
    folder = tmp_path_factory.mktemp("reported")
    user_time_split(tiny.make_dataset(rows=1200)).save(folder / "data")
    run = train_run(check_config(values(tiny_llm, folder), "test"), say=lambda line: None)
    with pytest.raises(CCFError, match="no figures yet; run ccf-llm evaluate"):
        report_run(run)
    evaluate_run(run)
    return run


def test_a_run_on_some_people_has_figures_of_all_rows_for_the_same(run: RunFolder) -> None:
    metrics = read_json(run.metrics)
    users = {name: model["users"] for name, model in metrics["models"].items()}
    assert users["ease"] == users["popularity"] > users["ccf_llm"] == users["llm_text"] == PEOPLE
    sample = metrics["sample"]
    assert {model["users"] for model in sample["models"].values()} == {PEOPLE}
    for row in ("ccf_llm", "llm_text"):
        assert sample["models"][row]["ndcg@5"] == metrics["models"][row]["ndcg@5"]
        gap = sample["models"][row]["ndcg@5"] - sample["models"]["ease"]["ndcg@5"]
        assert metrics["models"][row]["diff"]["ease"]["ndcg@5"] == pytest.approx(gap)
        a = metrics["weights"][row][0]
        assert (metrics["shares"][row] > 0) == (a != 0)


def test_the_command_prints_all_rows_for_the_same_people(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(
        "ccf_llm.experiments.evaluate.evaluate_run", lambda folder, **options: read_json(folder.metrics)
    )
    evaluate(run.path)
    printed = capsys.readouterr().out
    assert f"lists of {PEOPLE} users" in printed
    counts = [line.split("│")[2].strip() for line in printed.splitlines() if line.startswith("│")][:4]
    assert counts == [str(PEOPLE)] * 4


def test_the_page_has_figures_curves_gate_slices_and_everybody_who_was_kept(run: RunFolder) -> None:
    for title, items in (("user u1", ["Night", "Dawn"]), ("a person who likes Night", ["Dawn"])):
        found = [
            {"rank": rank + 1, "title": item, "score": 1.0, "probability": None} for rank, item in enumerate(items)
        ]
        keep_recommendations(run, title, ["Rain"], found)
    keep_recommendations(run, "user u1", ["Rain"], [{"rank": 1, "title": "Iron", "score": 1.0, "probability": None}])
    page = report_run(run).read_text(encoding="utf-8")
    reader = Reader(page)
    reader.check_self_contained()
    text = " ".join(reader.text.split())
    assert f"All of the same {PEOPLE} people." in text
    for section in ("Methods", "By length of the history", "Training", "What the gate lets through", "Settings"):
        assert section in text
    for row in ("ease", "popularity", "llm_text", "ccf_llm"):
        assert row in text
    assert page.count('<div class="card">') == 2
    assert "Iron" in text
    assert "user time, train 70%, valid 10%, test 20%" in text
    assert "16 lists of 6 items" in text
    assert "A note of the configuration." in text
    assert (run.path / "overview.png").stat().st_size > 1000


def test_the_page_says_where_the_language_model_decides_nothing(run: RunFolder) -> None:
    metrics = read_json(run.metrics)
    try:
        weightless = json.loads(json.dumps(metrics))
        weightless["weights"]["ccf_llm"][0] = 0.0
        write_json(run.metrics, weightless)
        text = " ".join(Reader(report_run(run).read_text(encoding="utf-8")).text.split())
        assert "nothing here: the order is that of ease" in text
        assert "as validation gives the language model no weight" in text
    finally:
        write_json(run.metrics, metrics)


def test_the_share_of_the_language_model_is_that_of_the_spread() -> None:
    llm = np.array([[0.0, 1.0, np.nan], [2.0, 4.0, np.nan]])
    retriever = np.array([[0.0, 3.0, 99.0], [0.0, 3.0, 99.0]])
    assert language_share(np.array([2.0, 1.0]), llm, retriever) == pytest.approx(1.5 / (1.5 + 1.5))
    assert language_share(np.array([0.0, 1.0]), llm, retriever) == 0
    assert language_share(np.array([0.0, 0.0]), llm, retriever) == 0
