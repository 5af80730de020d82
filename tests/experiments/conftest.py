"""The whole comparison, with every row of configs/ml-1m.yaml, in the smallest size."""

from pathlib import Path

import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.experiments.compare import compare_run
from ccf_llm.experiments.config import RunConfig, check_config, load_config

SHIPPED = Path(__file__).parents[2] / "configs" / "ml-1m.yaml"


@pytest.fixture(scope="session")
def some_left(tiny_data: Dataset) -> Dataset:
    """The tiny data, where users u1 to u8 have training rows only: examples are drawn from such users."""
    gone = pl.col("user_id").is_in([f"u{user}" for user in range(1, 9)]) & (pl.col("split") != "train")
    return Dataset.from_frames(tiny_data.interactions.filter(~gone), tiny_data.items, name="tiny")


def all_rows(llm: Path, data: Dataset, folder: Path) -> RunConfig:
    """Every row of the shipped configuration, its stages a few steps long."""
    values = tiny.run_values(llm, folder)
    data.save(folder / "data")
    shipped = load_config(SHIPPED).model_dump(mode="json")
    for method in shipped["methods"].values():
        method["prompt"]["history"] = None
        if method["fusion"]:
            method["fusion"]["hidden"] = 16
    few = {"rows": 48, "batch_rows": 24, "evaluations": 1, "valid_rows": 60}
    values |= {
        "methods": shipped["methods"],
        "stages": {name: {"train": stage["train"], **few} for name, stage in shipped["stages"].items()},
        "main": shipped["main"],
        "fusion": shipped["fusion"] | {"hidden": 16},
    }
    values["cf"] |= {
        "model": shipped["cf"]["model"],
        "compare": shipped["cf"]["compare"],
        "folds": shipped["cf"]["folds"],
        "ids": {"dim": 8},
        "gbm": {"max_trees": 20},
        "ensemble": {"dim": 4, "copies": 1, "max_epochs": 5},
    }
    values["prompt"]["template"] = shipped["prompt"]["template"]
    return check_config(values, "tiny")


@pytest.fixture(scope="session")
def every_row(tiny_llm: Path, some_left: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """The comparison's settings; it has been run for seed 0, into `<output>/comparison`."""
    config = all_rows(tiny_llm, some_left, tmp_path_factory.mktemp("compare"))
    compare_run(config, seeds=[0], say=lambda line: None)
    return config
