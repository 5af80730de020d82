"""Several processes train what one does: started by torchrun, with Gloo, over one folder."""

import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.train import train_run
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.model.network import CCFNetwork
from ccf_llm.training import processes
from same_run import assert_same_run, ranking_run, rating_run

DRIVER = """
import os
from pathlib import Path
from ccf_llm.training.processes import is_first, joined, meet

with joined("cpu"):
    meet()
    if is_first() and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os._exit(1)
    meet()
    from ccf_llm.experiments.config import load_config
    from ccf_llm.experiments.train import train_run
    from ccf_llm.llm import base

    def shard(body, device, shard=base.shard):
        shard(body, device)
        parts = [part for name, part in body.named_parameters() if ".layers." in name and "lora_" not in name]
        shares.append(sum(part.to_local().numel() for part in parts) / sum(part.numel() for part in parts))

    shares, base.shard = [], shard
    for run in ("rating", "ranking"):
        train_run(load_config(Path(run, "several.yaml")), say=lambda line: print(line, flush=True))
    assert shares == [0.5, 0.5]
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(tiny_llm: Path, tmp_path: Path) -> None:
    """Each with half of the layers, and started anew, as one died at first. A step of the ranking run is one list, so
    the second has nothing to do.
    """
    (tmp_path / "driver.py").write_text(DRIVER)
    runs = {"rating": rating_run, "ranking": ranking_run}
    values = {}
    for name, make in runs.items():
        (tmp_path / name).mkdir()
        values[name] = make(tiny_llm, tmp_path / name)
        llm = values[name]["llm"] | {"shard": True}
        several = values[name] | {"output": str(tmp_path / name / "several"), "llm": llm}
        (tmp_path / name / "several.yaml").write_text(yaml.safe_dump(several, sort_keys=False))
    found = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"),
            "driver.py",
        ],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert "another process of this training has ended" in found.stderr
    assert found.stdout.count("item_user_mean: fitting on") == found.stdout.count("ease: fitting on") == 1
    assert found.stdout.count("ranking/several/models/ccf_llm") == 1
    for name, one in values.items():
        folder = train_run(check_config(one, "run.yaml"), say=lambda line: None)
        assert_same_run(folder.path, tmp_path / name / "several")


def test_others_that_cannot_be_reached_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "START", timedelta(seconds=1))
    line = rf"^cannot join the other processes at 127\.0\.0\.1:{port} \(.*\); start all of them$"
    with pytest.raises(CCFError, match=line), processes.joined("cpu"):
        pass


def test_what_shared_layers_do_not_go_with_is_refused(make_network: Callable[..., CCFNetwork]) -> None:
    with pytest.raises(ValidationError, match="shard and quantize do not go together"):
        LLMConfig(shard=True, quantize="int8")
    llm = make_network().llm
    llm.sharded = True
    with pytest.raises(CCFError, match=r"^fusion\.semantic: hidden: cannot be read where llm\.shard .* take tokens$"):
        hidden_means(llm, [], None)


def test_launchers_start_the_command_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ccf_llm", "--version"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("ccf_llm", run_name="__main__")
    assert capsys.readouterr().out.startswith("ccf-llm ")
