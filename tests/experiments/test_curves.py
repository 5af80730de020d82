"""Curves reach TensorBoard's files and MLflow, each point once."""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.curves import curves_to
from ccf_llm.experiments.mlflow import mlflow_run
from ccf_llm.experiments.tensorboard import tensorboard
from ccf_llm.training.checkpoint import Progress

POINTS = [("a/lists/loss", 0.7, 4), ("a/lists/valid/ndcg_10", 0.5, 0), ("a/lists/loss", 0.6, 8)]


def tell(*writers: Any) -> int:
    """A stage of two steps that are told, of which a figure is not defined; returns how often it was passed on."""
    passed: list[str] = []
    report = curves_to(*writers, then=lambda name, word, progress, steps: passed.append(word))
    progress = Progress("", loss=[(4, 0.7)], valid=[{"step": 0, "ndcg@10": 0.5, "llm_ndcg@10": None}])
    report("a / lists", "valid", progress, 8)
    progress.loss.append((8, 0.6))
    report("a / lists", "step", progress, 8)
    return len(passed)


def test_each_point_is_told_once() -> None:
    written: list[tuple[str, float, int]] = []
    assert tell(lambda *point: written.append(point)) == 2
    assert written == POINTS


def test_tensorboard_has_a_file_of_the_points(tmp_path: Path) -> None:
    with tensorboard(tmp_path / "board") as write:
        tell(write)
    (file,) = (tmp_path / "board").glob("events.out.tfevents.*")
    assert file.read_bytes().count(b"a/lists/loss") == 2
    assert file.read_bytes().count(b"a/lists/valid/ndcg_10") == 1


def test_mlflow_has_the_points_and_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library, which is large."""
    called: list[tuple[Any, ...]] = []
    names = ("set_tracking_uri", "set_experiment", "log_text", "log_metric")
    calls = {name: lambda *values, name=name: called.append((name, *values)) for name in names}
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(**calls, start_run=nullcontext))
    with mlflow_run("sqlite:///x.db", RunConfig(name="shop")) as write:
        tell(write)
    assert called[:2] == [("set_tracking_uri", "sqlite:///x.db"), ("set_experiment", "shop")]
    assert called[2][1].startswith("task: rating")
    assert called[3:] == [("log_metric", *point) for point in POINTS]
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(CCFError, match=r"ccf-llm\[mlflow\]"), mlflow_run("x", RunConfig()):
        pass
