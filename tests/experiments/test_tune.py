"""A search of settings: it begins with the run's own, gives up what falls behind, and goes on after a stop."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ccf_llm.cli import app
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments import tune as search
from ccf_llm.experiments.config import RunConfig, dump_config, load_config, with_settings
from ccf_llm.training.checkpoint import Progress
from ccf_llm.training.loop import Report

RATE = "stages.text.lora_rate"
SILENT = lambda line: None  # noqa: E731


def one_rate(config: RunConfig) -> RunConfig:
    return with_settings(config, {"tune": {RATE: {"low": 1e-5, "high": 1e-1, "log": True}}})


def learn_by_rate(config: RunConfig, dataset: Dataset, *, report: Report, **others: Any) -> Iterator[SimpleNamespace]:
    """A stage of 4 measurements, the better the nearer the rate is to .01; above .03 it diverges."""
    rate = config.stages["text"].lora_rate
    if rate > 0.03:
        raise CCFError("training diverged")
    progress = Progress("")
    for step in range(1, 5):
        progress.best = step / 10 - abs(rate - 0.01)
        progress.valid.append({"step": step, "auc": progress.best})
        report("llm_text / text", "valid", progress, 4)
    yield SimpleNamespace(curves=[{"best": progress.best}])


def test_what_falls_behind_is_given_up_and_what_diverges_is_said(
    tiny_run: RunConfig, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "train_methods", learn_by_rate)
    config, said = one_rate(tiny_run), []
    found = search.tune(config, "llm_text", seconds=60, trials=12, dataset=tiny_data, say=said.append)
    assert found.trials == 12
    assert abs(found.settings[RATE] - 0.01) < abs(tiny_run.stages["text"].lora_rate - 0.01)
    assert found.value == pytest.approx(0.4 - abs(found.settings[RATE] - 0.01))
    assert any(line.endswith("given up") for line in said)
    assert any("training diverged" in line for line in said)
    again = search.tune(config, "llm_text", seconds=60, trials=12, dataset=tiny_data, say=said.append)
    assert again == found
    assert (tiny_run.output / "tune" / "study.jsonl").is_file()


def test_a_trial_that_the_time_has_stopped_is_the_next_one(
    tiny_run: RunConfig, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def stopped(config: RunConfig, *arguments: Any, **options: Any) -> Iterator[SimpleNamespace]:
        tried.append(config.stages["text"].lora_rate)
        if len(tried) == 2:
            raise search._OutOfTime
        yield SimpleNamespace(curves=[{"best": 0.5}])

    monkeypatch.setattr(search, "train_methods", stopped)
    config = one_rate(tiny_run)
    search.tune(config, "llm_text", seconds=60, dataset=tiny_data, say=SILENT)
    search.tune(config, "llm_text", seconds=60, trials=2, dataset=tiny_data, say=SILENT)
    assert tried[0] == tiny_run.stages["text"].lora_rate
    assert tried[2] == tried[1]
    with pytest.raises(CCFError, match="no trial has ended yet"):
        search.tune(config, "ccf_llm", seconds=0, dataset=tiny_data, say=SILENT)


def test_the_command_writes_a_configuration_that_can_be_trained(tiny_run: RunConfig) -> None:
    path = tiny_run.output.parent / "run.yaml"
    path.write_text(dump_config(tiny_run), encoding="utf-8")
    options = ["tune", str(path), "--method", "llm_text", "--trials", "2", "--set", "stages.text.rows=48"]
    printed = CliRunner().invoke(app, options, catch_exceptions=False).output
    best = load_config(path.with_name("run-tuned.yaml"))
    assert best.output == tiny_run.output
    assert f"--set llm.lora.rank={best.llm.lora.rank}" in printed
    assert "the best of 2 trials" in printed


def test_a_space_of_unknown_settings_is_refused(tiny_run: RunConfig, tiny_data: Dataset) -> None:
    wrong = with_settings(tiny_run, {"tune": {"stages.text.lora_rat": {"choices": [1]}}})
    with pytest.raises(CCFError, match=r"tune\.stages\.text\.lora_rat: unknown setting"):
        search.tune(wrong, "llm_text", seconds=1, dataset=tiny_data)
    beside = with_settings(tiny_run, {"tune": {"stages.text.rows": {"low": 0, "high": 0.5}}})
    with pytest.raises(CCFError, match=r"stages\.text\.rows"):  # at the first trial, not after a thousand
        search.tune(beside, "llm_text", seconds=60, dataset=tiny_data, say=SILENT)
    with pytest.raises(CCFError, match="low must lie below high"):
        with_settings(tiny_run, {"tune": {RATE: {"low": 2, "high": 1}}})
    assert yaml.safe_load(dump_config(tiny_run))["tune"] == {}
