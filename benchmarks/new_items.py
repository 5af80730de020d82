"""New items, measured: how EASE ranks items that training never met, among all and among themselves.

    python benchmarks/new_items.py ml-100k --details year genres --out benchmarks/ranking/ml-100k-new-items.json
    python benchmarks/new_items.py DATA --details genres --out ...     # MovieLens latest-small
    python benchmarks/new_items.py ml-100k --details year genres --words sentences+ngrams --l2 5 --lengths 1 --out ...

Each user's likes in time, 70% train, 10% valid, 20% test; then a fifth of the items, drawn or the newest, is taken out
of train and valid. `choose`: the same within train and valid alone, for draws of other seeds: by these the length of
new items' vectors is chosen. `test`: what was chosen, once for each seed. Differences are paired, of the same users.
`usual`: the split that holds out nothing, where a prior must lose nothing. What is read by another setting than
`sentences` is also set against that (`ease, sentences`, with the default penalty).
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from retrievers import words

from ccf_llm.cf.als import ALS
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.popularity import Popularity
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import PriorConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix
from ccf_llm.data.manifest import NewItemsBy
from ccf_llm.data.named import open_dataset
from ccf_llm.data.split import split_dataset, user_time_split
from ccf_llm.evaluation.known import Known, held_out
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.ranked import Asked, retriever_lists
from ccf_llm.io.files import write_json

SHARE = 0.2
RIVAL = "ease, sentences"


def within(usual: Dataset) -> Dataset:
    """Train and valid of a split alone, without it: what settings are chosen on."""
    earlier = usual.interactions.filter(pl.col("split") != "test").drop("split")
    return Dataset.from_frames(earlier, usual.items, name=usual.name)


def without(dataset: Dataset, by: NewItemsBy, seed: int) -> Dataset:
    """Each user's likes in time, and a fifth of the items held out."""
    return split_dataset(dataset, by="user", new_items=SHARE, new_items_by=by, seed=seed)


def new_mask(dataset: Dataset) -> NDArray[np.bool_] | None:
    """(n_items + 1,) by item code, which items the split held out; None for none."""
    new = held_out(dataset)
    return None if new is None else np.pad(dataset.items["item_id"].is_in(new.implode()).to_numpy(), (1, 0))


def fitted(
    dataset: Dataset, details: list[str], prior: PriorConfig, rival: PriorConfig | None, lengths: list[float]
) -> dict[str, Retriever]:
    """Popularity, EASE and ALS without and with a prior; `as predicted` leaves new items the short prediction."""
    likes, mask = likes_matrix(dataset, "train"), new_mask(dataset)
    plain = words(dataset, details, prior, mask)
    found: dict[str, Retriever] = {"popularity": Popularity.fit(likes), "ease": EASE.fit(likes)}
    found["ease, as predicted"] = EASE.fit(likes, words=replace(plain, new=None))
    if rival is not None:
        found[RIVAL] = EASE.fit(likes, words=words(dataset, details, rival, mask))
    for length in lengths if mask is not None else []:
        told = replace(plain, config=prior.model_copy(update={"new_length": length}))
        found[f"ease, length {length}"] = EASE.fit(likes, words=told)
    if mask is not None:
        found["als, length 1.0"] = ALS.fit(likes, words=plain)
    return found


def measured(dataset: Dataset, models: dict[str, Retriever]) -> dict[str, Any]:
    """The figures of each model's lists."""
    lists = pl.concat(retriever_lists(name, model, Asked.of(dataset, "test"), 0) for name, model in models.items())
    figures = evaluate_lists(lists, Known.of(dataset, "test"))
    alone = None
    if held_out(dataset) is not None:
        asked = Asked.of(dataset, "test", among="new")
        among = pl.concat(retriever_lists(name, model, asked, 0) for name, model in models.items())
        alone = evaluate_lists(among, Known.of(dataset, "test", "new"))
    rows: dict[str, Any] = {}
    for name in models:
        row = figures["models"][name]
        rows[name] = _of(row) | {"slices": {part: _of(of) for part, of in row["slices"].items() if part in PARTS}}
        if "ease, as predicted" in row["diff"]:
            rows[name]["against as predicted"] = _of(row["diff"]["ease, as predicted"])
        if "ease" in row["diff"]:
            rows[name]["against ease"] = _of(row["diff"]["ease"])
        if RIVAL in row["diff"]:
            rows[name]["against sentences"] = _of(row["diff"][RIVAL])
        if alone is not None:
            rows[name]["among themselves"] = _of(alone["models"][name])
            if RIVAL in alone["models"][name]["diff"]:
                rows[name]["among themselves, against sentences"] = _of(alone["models"][name]["diff"][RIVAL])
            rows[name] |= {figure: _rounded(row[f"{figure}@10"]) for figure in ("new", "new_hits")}
    return {"lists": figures["lists"], "rows": rows}


PARTS = ("target new", "target known")


def _of(row: dict[str, Any]) -> dict[str, Any]:
    return {"ndcg@10": _rounded(row["ndcg@10"]), "interval": [_rounded(end) for end in row["ndcg@10_ci"]]}


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)


def main() -> None:
    """Measure one data set and write the figures."""
    parser = argparse.ArgumentParser(description="New items, measured.")
    parser.add_argument("data")
    parser.add_argument("--details", nargs="*", default=["genres"])
    parser.add_argument("--words", default="sentences", help="As cf.prior.words in a run.")
    parser.add_argument("--l2", type=float, default=PriorConfig().l2)
    parser.add_argument("--lengths", nargs="+", type=float, default=[0.8, 1.0, 1.25, 1.5])
    parser.add_argument("--choose", nargs="*", type=int, default=[10, 11, 12, 13])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    whole = open_dataset(arguments.data)
    prior, by_default = PriorConfig(words=arguments.words, l2=arguments.l2), PriorConfig(words="sentences")
    rival = by_default if arguments.words != by_default.words else None
    usual = user_time_split(whole)
    earlier = within(usual)
    chosen = PriorConfig().new_length
    about = {"dataset": whole.name, "details": arguments.details, "new_items": SHARE, "chosen": chosen}
    about["prior"] = prior.model_dump(mode="json")
    result: dict[str, Any] = about | {"made": circumstances(), "usual": None, "choose": {}, "test": {}}

    def of(dataset: Dataset, seed: int, by: NewItemsBy, lengths: list[float]) -> dict[str, Any]:
        split = without(dataset, by, seed)
        return measured(split, fitted(split, arguments.details, prior, rival, lengths))

    result["usual"] = measured(usual, fitted(usual, arguments.details, prior, rival, []))
    for seed in arguments.choose:
        result["choose"][str(seed)] = of(earlier, seed, "drawn", arguments.lengths)
        write_json(arguments.out, result)
    for seed in arguments.seeds:
        result["test"][f"drawn {seed}"] = of(whole, seed, "drawn", [chosen])
        write_json(arguments.out, result)
    if arguments.seeds:
        result["test"]["newest"] = of(whole, 0, "time", [chosen])
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
