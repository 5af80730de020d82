"""The retrievers on a data set: settings chosen on valid, the lists then measured once on test.

    python benchmarks/retrievers.py ml-100k --out benchmarks/ranking/ml-100k-retrievers.json
    python benchmarks/retrievers.py ml-100k --only ease --out ...     # the other rows stay as they are
    python benchmarks/retrievers.py ml-100k --details year genres --only l3ae --out ...     # reads titles and these

Each user's likes in time: 70% train, 10% valid, 20% test. A list is ten items of the whole catalogue without
what the user has met; right is what the user comes to like in the part, for every user who does. For test a retriever
is fitted twice with what valid chose: on train alone, and on train and valid; it is told the likes of both either way.
Each row says when, with which commit and on what it was made. The members of the ensemble have what valid chose for
them by themselves, so it comes after them. L3AE has EASE's penalty, reads words, with the prior as it is by default,
and stands beside EASE by the paired difference, with a 95 % interval over users.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.retriever_ensemble import RetrieverEnsemble
from ccf_llm.cf.settings import PriorConfig, RetrieverConfig, RetrieverEnsembleConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets, like_times, likes_matrix, targets
from ccf_llm.data.manifest import Part
from ccf_llm.data.named import open_dataset
from ccf_llm.data.split import user_time_split
from ccf_llm.evaluation.bootstrap import bootstrap_mean, draw_users, interval
from ccf_llm.evaluation.hits import ndcg
from ccf_llm.evaluation.metrics import Doubles
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import read_json, write_json
from ccf_llm.llm.reading import state_width, text_vectors
from ccf_llm.prompts.details import words_of
from ccf_llm.text.words import texts_of

K = 10
GRIDS: dict[str, dict[str, list[Any]]] = {
    "popularity": {"days": [None, 7, 14, 30, 60, 90, 180, 365]},
    "knn": {"k": [20, 50, 100, 200], "shrink": [0, 5, 10, 20, 50]},
    "ease": {"l2": [50, 100, 150, 200, 300, 400, 600, 1000]},
    "ease_recent": {"l2": [150, 300, 600], "half_life": [6, 12, 25, 50, 100, 200]},
    "l3ae": {"strength": [1, 2, 3, 5], "words_l2": [10, 30, 100]},
    "l3ae_recent": {"half_life": [6, 12, 25, 50]},
    "als": {"dim": [64, 128], "regularization": [5, 10, 20], "alpha": [1, 2, 5]},
    "sasrec_softmax": {"horizon": [1, 10, 30], "item_dropout": [0, 0.3]},
    "retriever_ensemble": {"weights": [{"ease": 1 - share, "sasrec_softmax": share} for share in (0.25, 0.5, 0.75)]},
}
DRAWN = ("als", "sasrec_softmax", "retriever_ensemble")
"""Kinds that a seed decides."""
AGAINST = {"l3ae": "ease", "l3ae_recent": "ease_recent"}
"""Rows that are told by their difference to another, measured before them."""


def kind_of(name: str) -> str:
    """The kind of a row: those called recent are one with a half-life."""
    return name.removesuffix("_recent")


def settings_of(name: str, rows: dict[str, Any]) -> Iterator[RetrieverConfig]:
    """All settings of a grid; vectors for slots, which change no list, are left out where they cost time."""
    grid, kind = GRIDS[name], kind_of(name)
    fixed: dict[str, Any] = {"dim": 0} if kind in ("knn", "ease") else {}
    if name == "l3ae":
        fixed = {"l2": rows["ease"]["settings"]["l2"]}
    if name == "l3ae_recent":
        fixed = {key: value for key, value in rows["l3ae"]["settings"].items() if key != "half_life"}
    if kind == "retriever_ensemble":
        fixed = {kind_of(member): rows[member]["settings"] for member in ("ease_recent", "sasrec_softmax")}
    for values in itertools.product(*grid.values()):
        yield RETRIEVERS[kind].config_type.model_validate(fixed | dict(zip(grid, values, strict=True)))


class Taught:
    """Fits retrievers on some parts of a data set; what takes long to fit is kept, for the ensemble is made of it."""

    def __init__(self, dataset: Dataset, words: Words | None, *parts: Part) -> None:
        self.words = words
        self.likes, self.times = likes_matrix(dataset, *parts), like_times(dataset, *parts)
        self.kept: dict[tuple[str, str, int], tuple[Retriever, float]] = {}

    def __call__(self, kind: str, config: RetrieverConfig, seed: int) -> Retriever:
        """The retriever of a kind, with settings and a seed."""
        return self.timed(kind, config, seed)[0]

    def timed(self, kind: str, config: RetrieverConfig, seed: int) -> tuple[Retriever, float]:
        """The same, and the seconds that its fit took."""
        key = kind, config.model_dump_json(), seed
        if key in self.kept:
            return self.kept[key]
        if isinstance(config, RetrieverEnsembleConfig):
            fits = [self.timed(member, getattr(config, member), seed) for member in config.weights]
            members = tuple(member for member, _ in fits)
            joined = RetrieverEnsemble(config=config, popularity=members[0].popularity, members=members)
            return joined, sum(seconds for _, seconds in fits)
        begun = time.perf_counter()
        words = self.words if kind == "l3ae" else None
        model = RETRIEVERS[kind].fit(self.likes, config=config, seed=seed, times=self.times, words=words)
        found = model, time.perf_counter() - begun
        if kind in DRAWN:
            self.kept[key] = found
        return found

    def rival(self, name: str, rows: dict[str, Any]) -> Retriever | None:
        """What a row is told by its difference to, with the settings that were chosen for that."""
        if name not in AGAINST:
            return None
        kind = kind_of(AGAINST[name])
        return self(kind, RETRIEVERS[kind].config_type.model_validate(rows[AGAINST[name]]["settings"]), 0)


def texts(dataset: Dataset, details: list[str]) -> list[str]:
    """Title and these columns of each item."""
    return texts_of(dataset.items["title"].to_list(), words_of(dataset.items, tuple(details), len))


def words(dataset: Dataset, details: list[str], config: PriorConfig, new: NDArray[np.bool_] | None = None) -> Words:
    """The same, as a prior of these settings reads it; `new` (n_items + 1,) says which items are."""
    return Words.of(text_vectors(texts(dataset, details), config.words), config, new, states=state_width(config.words))


def figures_of(model: Retriever, asked: Targets) -> Doubles:
    """(U,) NDCG of each user."""
    lists = model.top(asked.histories, K, asked.seen)
    relevant = np.array([np.isin(best, found) for best, found in zip(lists, asked.items, strict=True)])
    return ndcg(relevant, np.array([len(found) for found in asked.items]), K)


def measured(model: Retriever, asked: Targets, other: Retriever | None = None) -> dict[str, Any]:
    """Mean NDCG over users and its standard error; the same of the difference to another, with an interval."""
    figures = figures_of(model, asked)
    error = figures.std(ddof=1) / np.sqrt(len(figures))
    found: dict[str, Any] = {"ndcg@10": round(float(figures.mean()), 4), "standard_error": round(float(error), 4)}
    if other is not None:
        more = figures - figures_of(other, asked)
        ends = interval(bootstrap_mean(more, draw_users(len(more), 1000, 0)))
        found["difference"] = [round(float(value), 4) for value in (more.mean(), *ends)]
    return found


def row(
    name: str, rows: dict[str, Any], on_train: Taught, on_both: Taught, valid: Targets, test: Targets
) -> dict[str, Any]:
    """One retriever: what was tried on valid, what was chosen, and the figures of test by seed."""
    kind, trials = kind_of(name), []
    rivals = {taught: taught.rival(name, rows) for taught in (on_train, on_both)}
    for config in settings_of(name, rows):
        found = measured(on_train(kind, config, 0), valid, rivals[on_train])
        trials.append({"settings": config.model_dump(mode="json"), "valid": found})
        print(kind, config, found, flush=True)
    best = max(trials, key=lambda trial: trial["valid"]["ndcg@10"])
    config = RETRIEVERS[kind].config_type.model_validate(best["settings"])
    result: dict[str, Any] = {"settings": best["settings"], "valid": best["valid"], "test": []}
    for seed in (0, 1, 2) if kind in DRAWN else (0,):
        model, seconds = on_train.timed(kind, config, seed)
        figures = {
            "fitted_on_train": measured(model, test, rivals[on_train]),
            "fitted_on_train_and_valid": measured(on_both(kind, config, seed), test, rivals[on_both]),
        }
        result["test"].append({"seed": seed, "fit_seconds": round(seconds, 2), **figures})
        print(kind, result["test"][-1], flush=True)
    return result | {"trials": trials, "made": circumstances()}


def main() -> None:
    """Measure all retrievers on one data set and write the figures."""
    parser = argparse.ArgumentParser(description="The retrievers on a data set.")
    parser.add_argument("data")
    parser.add_argument("--details", nargs="*", default=[], help="Columns of items that l3ae reads after the title.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(GRIDS), help="Measure these rows of the file anew.")
    arguments = parser.parse_args()
    dataset = user_time_split(open_dataset(arguments.data))
    valid, test = targets(dataset, "valid"), targets(dataset, "test")
    # Without columns nothing is told, which l3ae refuses.
    told = words(dataset, arguments.details, PriorConfig(words="sentences")) if arguments.details else None
    on_train, on_both = Taught(dataset, told, "train"), Taught(dataset, told, "train", "valid")
    assert dataset.split is not None
    rows: dict[str, Any] = read_json(arguments.out)["retrievers"] if arguments.only else {}
    result = {
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json"),
        "users": {"valid": len(valid), "test": len(test)},
        "targets": {"valid": sum(map(len, valid.items)), "test": sum(map(len, test.items))},
        "retrievers": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or GRIDS:
        rows[name] = row(name, rows, on_train, on_both, valid, test)
        write_json(arguments.out, result)


if __name__ == "__main__":
    main()
