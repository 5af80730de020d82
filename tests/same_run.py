"""Runs to be trained by one process and by several, and what must be the same of both."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import tiny
from ccf_llm.data.split import global_time_split, user_time_split

FEW = {"rows": 96, "batch_rows": 12, "evaluations": 2, "valid_rows": 100}


def rating_run(llm: Path, folder: Path) -> dict[str, Any]:
    """The two stages of the paper, and one that trains the CF model with all else; nothing is dropped out."""
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


def ranking_run(llm: Path, folder: Path) -> dict[str, Any]:
    """One list a step, over EASE, and an average at the end."""
    values = rating_run(llm, folder) | {
        "task": "ranking",
        "cf": {"model": "ease", "folds": 2, "ease": {"l2": 5.0, "dim": 8}},
        "ranking": {"cuts": 4, "size": 6, "positives": 2, "depth": 12},
        "stages": {"lists": {"train": ["lora", "fusion"], "residual": True, "average": 2, **FEW, "batch_rows": 6}},
        "methods": {"ccf_llm": {"stages": ["lists"]}},
    }
    user_time_split(tiny.make_dataset(rows=1200)).save(folder / "data")
    return values


def assert_same_run(one: Path, several: Path) -> None:
    """Curves, figures and weights of two runs differ by no more than rounding."""
    curves, others = (json.loads((run / "training.json").read_text()) for run in (one, several))
    assert [curve["stage"] for curve in curves] == [curve["stage"] for curve in others]
    for mine, theirs in zip(curves, others, strict=True):
        assert len(mine["loss"]) > 5
        assert mine["rows"] == theirs["rows"] >= 96
        np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=0, atol=1e-4)
        for before, after in zip(mine["valid"] + mine["averaged"], theirs["valid"] + theirs["averaged"], strict=True):
            assert after == pytest.approx(before, abs=1e-4)
    for name in ("fusion", "adapter/adapter_model", "cf/cf"):
        weights, found = (load_file(run / f"models/ccf_llm/{name}.safetensors") for run in (one, several))
        assert weights.keys() == found.keys()
        for key, weight in weights.items():
            np.testing.assert_allclose(weight.numpy(), found[key].numpy(), rtol=0, atol=1e-4, err_msg=key)
