"""Measure all CF rows of a configuration on test, once for a seed.

    python benchmarks/cf_final.py FOLDER configs/ml-1m-cf.yaml --seed 0 --out benchmarks/ml-1m/cf/seed-0.json

FOLDER is a data set with a split. The settings were chosen on valid before (`cf_search.py`).
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from ccf_llm.config import RunConfig, load_config
from ccf_llm.data.dataset import Dataset
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.files import write_json
from ccf_llm.runs.cf import fit_row
from ccf_llm.runs.evaluate import measure


def final(config: RunConfig, dataset: Dataset, seed: int) -> dict[str, Any]:
    """The figures of a run's metrics.json for the CF rows alone, and their AUC and UAUC on valid."""
    train, valid, test = (dataset.rows(part) for part in ("train", "valid", "test"))
    models = {method: fit_row(method, dataset, train, config.cf, seed) for method in config.cf_rows}
    on_valid = {}
    for method, model in models.items():
        scores = model.score(valid)
        on_valid[method] = {"auc": auc(valid.labels, scores), "uauc": uauc(valid.users, valid.labels, scores)[0]}
    metrics = measure(
        dataset, test, {name: model.score(test) for name, model in models.items()}, part="test", seed=seed
    )
    return metrics | {"valid": on_valid, "config": {"cf": config.cf.model_dump(mode="json"), "seed": seed}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a data set with a split")
    parser.add_argument("config", type=Path, help="a run's configuration; its `cf` is read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    write_json(arguments.out, final(load_config(arguments.config), Dataset.load(arguments.folder), arguments.seed))
