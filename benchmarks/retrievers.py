"""The retrievers on a data set: settings chosen on valid, the lists then measured once on test.

    python benchmarks/retrievers.py ml-100k --out benchmarks/ranking/ml-100k-retrievers.json

Each user's likes in time: 70% train, 10% valid, 20% test. A list is ten items of the whole catalogue without
what the user has met; right is what the user comes to like in the part, for every user who does. For test a retriever
is fitted twice with what valid chose: on train alone, and on train and valid; it is told the likes of both either way.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets, like_times, likes_matrix, targets
from ccf_llm.data.manifest import Part
from ccf_llm.data.named import open_dataset
from ccf_llm.data.split import user_time_split
from ccf_llm.evaluation.hits import ndcg
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json

Learn = Callable[[str, RetrieverConfig, int], Retriever]
K = 10
GRIDS: dict[str, dict[str, list[Any]]] = {
    "popularity": {"days": [None, 7, 14, 30, 60, 90, 180, 365]},
    "knn": {"k": [20, 50, 100, 200], "shrink": [0, 5, 10, 20, 50]},
    "ease": {"l2": [50, 100, 150, 200, 300, 400, 600, 1000]},
    "als": {"dim": [64, 128], "regularization": [5, 10, 20], "alpha": [1, 2, 5]},
}


def settings_of(kind: str) -> Iterator[RetrieverConfig]:
    """All settings of a grid; vectors for slots, which change no list, are left out where they cost time."""
    grid = GRIDS[kind]
    spared = {"dim": 0} if kind in ("knn", "ease") else {}
    for values in itertools.product(*grid.values()):
        yield RETRIEVERS[kind].config_type(**spared, **dict(zip(grid, values, strict=True)))


def taught(dataset: Dataset, *parts: Part) -> Learn:
    """What fits a retriever of some kind, with settings and a seed, on these parts."""
    likes, times = likes_matrix(dataset, *parts), like_times(dataset, *parts)
    return lambda kind, config, seed: RETRIEVERS[kind].fit(likes, config=config, seed=seed, times=times)


def measured(model: Retriever, asked: Targets) -> dict[str, float]:
    """Mean NDCG over users and its standard error."""
    lists = model.top(asked.histories, K, asked.seen)
    relevant = np.array([np.isin(best, found) for best, found in zip(lists, asked.items, strict=True)])
    figures = ndcg(relevant, np.array([len(found) for found in asked.items]), K)
    error = figures.std(ddof=1) / np.sqrt(len(figures))
    return {"ndcg@10": round(float(figures.mean()), 4), "standard_error": round(float(error), 4)}


def row(kind: str, on_train: Learn, on_both: Learn, valid: Targets, test: Targets) -> dict[str, Any]:
    """One retriever: what was tried on valid, what was chosen, and the figures of test by seed."""
    trials = []
    for config in settings_of(kind):
        found = measured(on_train(kind, config, 0), valid)
        trials.append({"settings": config.model_dump(mode="json"), "valid": found})
        print(kind, config, found, flush=True)
    best = max(trials, key=lambda trial: trial["valid"]["ndcg@10"])
    config = RETRIEVERS[kind].config_type.model_validate(best["settings"])
    result: dict[str, Any] = {"settings": best["settings"], "valid": best["valid"], "test": []}
    for seed in (0, 1, 2) if kind == "als" else (0,):
        begun = time.perf_counter()
        model = on_train(kind, config, seed)
        seconds = time.perf_counter() - begun
        both = on_both(kind, config, seed)
        figures = {"fitted_on_train": measured(model, test), "fitted_on_train_and_valid": measured(both, test)}
        result["test"].append({"seed": seed, "fit_seconds": round(seconds, 2), **figures})
    print(kind, result["test"], flush=True)
    return result | {"trials": trials}


def main() -> None:
    """Measure all retrievers on one data set and write the figures."""
    parser = argparse.ArgumentParser(description="The retrievers on a data set.")
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = user_time_split(open_dataset(arguments.data))
    valid, test = targets(dataset, "valid"), targets(dataset, "test")
    on_train, on_both = taught(dataset, "train"), taught(dataset, "train", "valid")
    assert dataset.split is not None
    result = {
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json"),
        "users": {"valid": len(valid), "test": len(test)},
        "targets": {"valid": sum(map(len, valid.items)), "test": sum(map(len, test.items))},
        "retrievers": {kind: row(kind, on_train, on_both, valid, test) for kind in GRIDS},
        "made": circumstances(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
