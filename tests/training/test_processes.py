"""Several processes train what one does: started by torchrun, with Gloo, over one folder."""

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

import tiny
from ccf_llm.data.split import global_time_split, user_time_split
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.train import train_run
from ccf_llm.training import processes

FEW = {"rows": 120, "batch_rows": 12, "evaluations": 2, "valid_rows": None}


def rating(llm: Path, folder: Path) -> dict[str, Any]:
    """The two stages of the paper, and one that trains the CF model with all else."""
    global_time_split(tiny.make_dataset(), 0.7, 0.15).save(folder / "data")
    values = tiny.run_values(llm, folder)
    values["llm"]["lora"]["dropout"] = values["fusion"]["dropout"] = 0.0
    parts = {"text": ["lora"], "fusion": ["fusion"], "all": ["lora", "fusion", "cf"]}
    values["stages"] = {name: {"train": train, **FEW} for name, train in parts.items()}
    values["methods"] = {
        "llm_text": {"fusion": {"variant": "semantic"}, "stages": ["text"]},
        "ccf_llm": {"start": "llm_text", "stages": ["fusion", "all"]},
    }
    return values


def ranking(llm: Path, folder: Path) -> dict[str, Any]:
    """Two lists a step, over EASE."""
    values = rating(llm, folder) | {
        "task": "ranking",
        "cf": {"model": "ease", "folds": 2, "ease": {"l2": 5.0, "dim": 8}},
        "ranking": {"cuts": 4, "size": 6, "positives": 2, "depth": 12},
        "stages": {"lists": {"train": ["lora", "fusion"], "residual": True, "average": 2, **FEW}},
        "methods": {"ccf_llm": {"stages": ["lists"]}},
    }
    user_time_split(tiny.make_dataset(rows=1200)).save(folder / "data")
    return values


def torchrun(folder: Path, values: dict[str, Any], options: list[str], *words: str) -> str:
    """Train a run in `folder / "several"`; returns what was said."""
    (folder / "run.yaml").write_text(yaml.safe_dump(values | {"output": str(folder / "several")}, sort_keys=False))
    found = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", *options, *words, str(folder / "run.yaml")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stderr


def assert_as_of_one(folder: Path, values: dict[str, Any]) -> None:
    """Curves, figures and weights are those of one process at the same global batch."""
    train_run(check_config(values, "run.yaml"), say=lambda line: None)
    one, several = (json.loads((folder / name / "training.json").read_text()) for name in ("run", "several"))
    assert [curve["stage"] for curve in one] == [curve["stage"] for curve in several]
    for mine, theirs in zip(one, several, strict=True):
        assert len(mine["loss"]) > 5
        assert mine["rows"] == theirs["rows"] >= FEW["rows"]
        np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=0, atol=1e-4)
        for before, after in zip(mine["valid"] + mine["averaged"], theirs["valid"] + theirs["averaged"], strict=True):
            assert after == pytest.approx(before, abs=1e-4)
    for name in ("fusion", "adapter/adapter_model", "cf/cf"):
        weights, others = (load_file(folder / run / f"models/ccf_llm/{name}.safetensors") for run in ("run", "several"))
        assert weights.keys() == others.keys()
        for key, weight in weights.items():
            np.testing.assert_allclose(weight.numpy(), others[key].numpy(), rtol=0, atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny_llm: Path, tmp_path: Path) -> None:
    values = rating(tiny_llm, tmp_path)
    said = torchrun(tmp_path, values, ["--nproc-per-node=2"], "-m", "ccf_llm", "train")
    assert said.count("ccf_llm / all: step 0/") == said.count("mf: fitting on") == said.count("ccf_llm saved in") == 1
    assert_as_of_one(tmp_path, values)


DIES_ONCE = """
import os, sys
from pathlib import Path
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.train import train_run

config = load_config(Path(sys.argv[1]))

def report(name, word, progress, steps):
    if progress.step == 7 and int(os.environ["TORCHELASTIC_RESTART_COUNT"]) == 0:
        os._exit(1)

train_run(config, say=print, report=report)
"""


@pytest.mark.slow
def test_three_processes_with_two_lists_a_step_go_on_where_one_died(tiny_llm: Path, tmp_path: Path) -> None:
    """One of them has nothing to read in any step; they are started anew after the checkpoint of step 5."""
    values = ranking(tiny_llm, tmp_path)
    (tmp_path / "driver.py").write_text(DIES_ONCE)
    said = torchrun(tmp_path, values, ["--nproc-per-node=3", "--max-restarts=1"], str(tmp_path / "driver.py"))
    assert "another process of this training has ended" in said
    assert_as_of_one(tmp_path, values)


def test_others_that_cannot_be_reached_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in {"ADDR": "127.0.0.1", "PORT": str(port)}.items():
        monkeypatch.setenv(f"MASTER_{name}", value)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(processes, "START", timedelta(seconds=1))
    line = rf"^cannot join the other processes at 127\.0\.0\.1:{port} \(.*\); start all of them$"
    with pytest.raises(CCFError, match=line), processes.joined("cpu"):
        pass
