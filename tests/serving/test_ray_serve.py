"""Replicas behind Ray's proxy: one of them is killed while people ask and like."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ccf_llm.cli import main

ROOT = Path(__file__).parents[2]
REPLICAS = ROOT / "benchmarks" / "serving" / "replicas.py"


def test_the_page_says_what_was_measured() -> None:
    figures = json.loads((REPLICAS.parent / "results" / "replicas.json").read_text(encoding="utf-8"))
    assert (figures["unseen"], figures["logged"], figures["replaced"]) == (0, 0, True)
    said = (
        "{clients} clients for {seconds:.0f} s, on two cores that other work kept busy: {requests} recommendations, "
        "{acknowledged} likes acknowledged, {lost} lost, {doubled} doubled, {unseen} unseen by the next answer, "
        "whichever replica gave it; {failed} requests failed, the last of them {failed_until_s} s after the kill"
    )
    assert said.format(**figures) in " ".join((ROOT / "docs" / "distributed.md").read_text(encoding="utf-8").split())


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_nothing_is_lost_or_unseen_when_a_replica_is_killed(served_model: Path, store_url: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    how = ["--replicas", "2", "--clients", "2", "--seconds", "4", "--json", str(tmp_path / "replicas.json")]
    command = [sys.executable, str(REPLICAS), str(served_model), "--store", store_url, *how]
    environment = os.environ | {"RAY_worker_niceness": "0"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads((tmp_path / "replicas.json").read_text(encoding="utf-8"))
    assert (figures["lost"], figures["doubled"], figures["unseen"], figures["replaced"]) == (0, 0, 0, True)
    assert min(figures["requests"], figures["acknowledged"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--replicas", "2"], "--store: replicas need a store that all of them reach, and SQLite is a file; give --st"),
        (["--store", "sqlite:///x"], "--store: replicas need a store"),
        (["--replicas", "3", "--most-replicas", "2"], "--most-replicas 2: fewer than --replicas 3"),
    ],
)
def test_replicas_that_could_not_agree_are_refused(
    options: list[str],
    message: str,
    served_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ray")
    before = list(served_model.parent.iterdir())
    monkeypatch.setattr(sys, "argv", ["ccf-llm", "serve", str(served_model), "--engine", "ray", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert list(served_model.parent.iterdir()) == before
