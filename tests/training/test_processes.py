"""Several processes train what one does: started by torchrun, with Gloo, over one folder."""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.train import train_run
from ccf_llm.training import processes
from same_run import assert_same_run, ranking_run, rating_run


def train_with_two(folder: Path, values: dict[str, Any], *words: str) -> str:
    """Train a run in `folder / "several"`; returns what was said."""
    (folder / "run.yaml").write_text(yaml.safe_dump(values | {"output": str(folder / "several")}, sort_keys=False))
    found = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words),
            str(folder / "run.yaml"),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stderr


def train_with_one(values: dict[str, Any]) -> Path:
    return train_run(check_config(values, "run.yaml"), say=lambda line: None).path


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny_llm: Path, tmp_path: Path) -> None:
    values = rating_run(tiny_llm, tmp_path)
    said = train_with_two(tmp_path, values, "-m", "ccf_llm", "train")
    assert said.count("ccf_llm / all: step 0/") == said.count("mf: fitting on") == said.count("ccf_llm saved in") == 1
    assert_same_run(train_with_one(values), tmp_path / "several")


DIES_ONCE = """
import os, sys
from pathlib import Path
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.train import train_run

def report(name, word, progress, steps):
    if progress.step == 12 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os._exit(1)

train_run(load_config(Path(sys.argv[1])), report=report)
"""


@pytest.mark.slow
def test_where_one_died_all_go_on_though_one_has_nothing_to_read(tiny_llm: Path, tmp_path: Path) -> None:
    """A step is one list, so the second process gets none; both are started anew after the checkpoint of step 10."""
    values = ranking_run(tiny_llm, tmp_path)
    (tmp_path / "driver.py").write_text(DIES_ONCE)
    said = train_with_two(tmp_path, values, "--max-restarts=1", str(tmp_path / "driver.py"))
    assert "another process of this training has ended" in said
    assert_same_run(train_with_one(values), tmp_path / "several")


def test_others_that_cannot_be_reached_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "START", timedelta(seconds=1))
    line = rf"^cannot join the other processes at 127\.0\.0\.1:{port} \(.*\); start all of them$"
    with pytest.raises(CCFError, match=line), processes.joined("cpu"):
        pass
