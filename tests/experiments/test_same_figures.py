"""The same seed on the same machine gives the same figures, byte for byte."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.split import user_time_split
from ccf_llm.experiments.config import RunConfig, check_config, dump_config
from ccf_llm.io.files import read_json
from ccf_llm.io.hashing import file_sha256

TWICE = """
import sys
from pathlib import Path

import polars as pl
import torch

from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.evaluate import evaluate_run
from ccf_llm.experiments.train import train_run

torch.set_num_threads(1)
for file in map(Path, sys.argv[1:]):
    evaluate_run(train_run(load_config(file)))
print(pl.thread_pool_size())
"""


@pytest.fixture
def runs(tiny_llm: Path, tiny_data: Dataset, tmp_path: Path) -> list[RunConfig]:
    """One of the rating task and one of ranking, all of whose parts draw lots: cross-fitting, negatives, dropout."""
    values = tiny.run_values(tiny_llm, tmp_path)
    tiny_data.save(tmp_path / "data")
    user_time_split(tiny.early(tiny_data)).save(tmp_path / "early")
    values["llm"]["lora"]["dropout"] = 0.1
    stage = {"train": ["lora", "fusion"], "rows": 96, "batch_rows": 24, "evaluations": 1}
    ranking = {
        "task": "ranking",
        "data": {"source": str(tmp_path / "early"), "details": ["genres"]},
        "cf": {"model": "ease", "compare": ["knn"], "folds": 2, "ease": {"l2": 5.0, "dim": 8}},
        "ranking": {"cuts": 4, "size": 6, "positives": 2, "depth": 12},
        "stages": {"lists": stage},
        "methods": {"ccf_llm": {"stages": ["lists"]}},
        "output": str(tmp_path / "ranking"),
    }
    return [check_config(chosen, "tiny") for chosen in (values, values | ranking)]


@pytest.mark.slow
def test_another_process_comes_to_the_same(runs: list[RunConfig], tmp_path: Path) -> None:
    """Whatever order sets have in it, and however many threads read its tables."""
    first, again = (outcome(runs, tmp_path / name, seed, threads) for name, seed, threads in [("a", 1, 1), ("b", 2, 3)])
    assert first.keys() == again.keys()
    assert {name for name in first if first[name] != again[name]} == set()
    assert {Path(name).suffix for name in first} >= {".safetensors", ".json", ".parquet"}


def outcome(runs: list[RunConfig], folder: Path, hash_seed: int, threads: int) -> dict[str, Any]:
    """Of both runs, in a process of its own: file -> hash, or figures where the file also says when it was made."""
    folder.mkdir()
    moved = [config.model_copy(update={"output": folder / config.task}) for config in runs]
    files = [folder / f"{config.task}.yaml" for config in moved]
    for file, config in zip(files, moved, strict=True):
        file.write_text(dump_config(config))
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "POLARS_MAX_THREADS": str(threads)}
    ran = subprocess.run([sys.executable, "-c", TWICE, *files], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == str(threads)
    found: dict[str, Any] = {}
    for config in moved:
        metrics = read_json(config.output / "metrics.json")
        found[f"{config.task}/metrics.json"] = metrics["models"], metrics.get("weights")
        made = [*config.output.glob("models/**/*.safetensors"), *config.output.rglob("*.parquet")]
        found |= {f"{config.task}/{file.relative_to(config.output)}": file_sha256(file) for file in made}
    return found
