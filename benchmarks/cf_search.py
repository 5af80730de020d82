"""The same small search for every CF row: settings chosen on valid AUC alone, every trial kept.

    python benchmarks/cf_search.py FOLDER sasrec --out benchmarks/ml-1m/cf/search-sasrec.json

FOLDER is a data set with a split. Trial 0 is a plain start, the others come from Optuna's TPE sampler, seeded by the
trial's number, so that a search that was stopped goes on to the same trials: give the same command again. Test rows are
never read. Stages of language models are searched by `ccf-llm tune`. Needs the extra `tune`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ccf_llm.cf.settings import CFSettings
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.cf import fit_row
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import read_json, write_json

VECTORS: dict[str, BaseDistribution] = {
    "dim": CategoricalDistribution((16, 32, 64)),
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "l2": FloatDistribution(3e-3, 1.0, log=True),
}
HISTORY: dict[str, BaseDistribution] = {
    "history_length": CategoricalDistribution((10, 25)),
    "dropout": FloatDistribution(0.0, 0.6),
}
SPACES: dict[str, dict[str, BaseDistribution]] = {
    "mf": VECTORS,
    "lightgcn": VECTORS | {"layers": IntDistribution(1, 3)},
    "sasrec": VECTORS | HISTORY | {"blocks": IntDistribution(1, 2)},
    "din": VECTORS | HISTORY | {"hidden": CategoricalDistribution((16, 32, 64))},
    "gbm": {
        "learning_rate": FloatDistribution(0.01, 0.1, log=True),
        "leaves": IntDistribution(3, 31, log=True),
        "min_rows": IntDistribution(20, 500, log=True),
        "l2": FloatDistribution(1e-2, 100.0, log=True),
    },
}

VECTORS_START = {"dim": 64, "learning_rate": 3e-3, "l2": 3e-2}
HISTORY_START = {"history_length": 25, "dropout": 0.2}
START: dict[str, dict[str, Any]] = {
    "mf": VECTORS_START,
    "lightgcn": VECTORS_START | {"layers": 2},
    "sasrec": VECTORS_START | HISTORY_START | {"blocks": 1},
    "din": VECTORS_START | HISTORY_START | {"hidden": 32},
    "gbm": {"learning_rate": 0.03, "leaves": 8, "min_rows": 100, "l2": 10.0},
}


def search(method: str, dataset: Dataset, trials: int, file: Path, seconds: float) -> None:
    """Run trials until there are `trials`, or no more than `seconds` have passed; write each as it ends."""
    begun = time.monotonic()
    about = {"method": method, "dataset": dataset.name, "chosen by": "valid AUC"}
    kept: list[dict[str, Any]] = read_json(file)["trials"] if file.exists() else []
    while len(kept) < trials and time.monotonic() - begun < seconds:
        settings = START[method] if not kept else suggest(SPACES[method], kept)
        kept.append({"number": len(kept), "settings": settings} | attempt(method, dataset, settings))
        best = max(kept, key=lambda trial: trial["valid"]["auc"])
        write_json(file, about | {"best": best["number"], "trials": kept, "made": circumstances()})
        print(f"{file.stem} {kept[-1]}", flush=True)


def suggest(space: dict[str, BaseDistribution], kept: list[dict[str, Any]]) -> dict[str, Any]:
    """The next trial's settings, given all before it."""
    sampler = optuna.samplers.TPESampler(seed=len(kept), n_startup_trials=6)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in kept[1:]:  # the start was not the sampler's choice
        done = optuna.trial.create_trial(params=trial["settings"], distributions=space, value=trial["valid"]["auc"])
        study.add_trial(done)
    return study.ask(space).params


def attempt(method: str, dataset: Dataset, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit once with seed 0 and measure on valid."""
    started = time.monotonic()
    cf = CFSettings.model_validate({method: settings})
    valid = dataset.rows("valid")
    scores = fit_row(method, dataset, dataset.rows("train"), cf, seed=0).score(valid)
    figures = {"auc": auc(valid.labels, scores), "uauc": uauc(valid.users, valid.labels, scores)[0]}
    return {
        "valid": {name: round(value, 5) for name, value in figures.items()},
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a data set with a split")
    parser.add_argument("method", choices=SPACES)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the trials")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so many")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search(arguments.method, open_dataset(arguments.folder), arguments.trials, arguments.out, arguments.seconds)
