"""Boosted trees over EASE's best on a data set, without and with words, beside EASE itself.

    python benchmarks/rank_trees.py ml-100k --out benchmarks/ranking/ml-100k-trees.json

The protocol is that of `benchmarks/retrievers.py`: each user's likes in time, 70% train, 10% valid, 20% test, whole
catalogue, what was met left out, every user with a target; everything is fitted on train, histories at test are the
likes of train and valid. The settings are the defaults, chosen on valid of both MovieLens data sets. Trees stop by
valid, whose figures of trees are therefore a little too good. `--sentences` adds a row that also reads the titles'
vectors by the sentence encoder; `--lists` keeps all lists of test for `ccf-llm evaluate`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.rank_features import Likes
from ccf_llm.cf.rank_trees import RankTrees, training_lists
from ccf_llm.cf.settings import EASEConfig, RankTreesConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.data.split import user_time_split
from ccf_llm.evaluation import evaluate_lists, top_lists, write_lists
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json
from ccf_llm.text.sentences import SentenceEncoder
from ccf_llm.text.titles import reading_order

SEEDS = (0, 1, 2)
EASE_CONFIG = EASEConfig(dim=0)
PARTS = ("valid", "test")
FIGURES = ("ndcg@10", "recall@10", "recall@20", "mrr@10")


class Measured:
    """The lists of all rows, part by part."""

    def __init__(self, dataset: Dataset, candidates: dict[str, Candidates]) -> None:
        self.items = dataset.item_vocabulary.decode(range(1, len(dataset.item_vocabulary) + 1))
        self.users = {part: dataset.user_vocabulary.decode(found.asked.users) for part, found in candidates.items()}
        self.candidates = candidates
        self.lists: dict[str, list[pl.DataFrame]] = {part: [] for part in candidates}

    def add(self, method: str, part: str, scores: Floats, seed: int) -> None:
        """Lists of the candidates in the order of (U, m) scores."""
        found, n_items = self.candidates[part], len(self.items)
        ranked = np.full((len(found), n_items + 1), -np.inf, dtype=np.float32)
        np.put_along_axis(ranked, found.items, np.where(found.items > 0, scores, -np.inf), axis=1)
        self.lists[part].append(
            top_lists(
                method,
                self.users[part],
                self.items,
                ranked[:, 1:],
                seen=_marked(found.asked.seen, n_items),
                targets=_marked(found.asked.items, n_items),
                seed=seed,
            )
        )

    def figures(self, part: str) -> dict[str, Any]:
        """Of each row, with its differences to the others."""
        models = evaluate_lists(pl.concat(self.lists[part]))["models"]
        return {name: _short(model) | {"diff": _diff(model)} for name, model in models.items()}


def _marked(codes: list[Codes], n_items: int) -> csr_matrix:
    indptr = np.cumsum([0, *map(len, codes)])
    columns = np.concatenate(codes) - 1
    return csr_matrix((np.ones(len(columns)), columns, indptr), shape=(len(codes), n_items))


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    shown = [name for figure in FIGURES for name in (figure, f"{figure}_ci")]
    return {"users": figures["users"]} | {name: np.round(figures[name], 4).tolist() for name in shown}


def _diff(model: dict[str, Any]) -> dict[str, Any]:
    return {other: _short(figures) for other, figures in model["diff"].items()}


def main() -> None:
    """Measure all rows on one data set and write the figures."""
    parser = argparse.ArgumentParser(description="Boosted trees over EASE's best on a data set.")
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", action="store_true")
    parser.add_argument("--lists", type=Path)
    arguments = parser.parse_args()
    dataset = user_time_split(open_dataset(arguments.data))
    matrix, times = likes_matrix(dataset, "train"), like_times(dataset, "train")
    likes, retriever, config = Likes.of(matrix, times), EASE.fit(matrix, config=EASE_CONFIG), RankTreesConfig()
    candidates = {part: Candidates.of(targets(dataset, part), config.candidates, retriever) for part in PARTS}
    rows: dict[str, ItemWords | None] = {"trees": None, "trees with words": ItemWords.of(dataset.items)}
    if arguments.sentences:
        vectors = SentenceEncoder.load().encode([reading_order(title) for title in dataset.items["title"]])
        rows["trees with words and vectors"] = ItemWords.of(dataset.items, vectors)
    measured = Measured(dataset, candidates)
    fits: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    for seed in SEEDS:
        train = training_lists(dataset, EASE, retriever=EASE_CONFIG, config=config, seed=seed)
        for part, found in candidates.items():
            measured.add("ease", part, found.scores, seed)
        for name, words in rows.items():
            begun = time.perf_counter()
            trees = RankTrees.fit(train, candidates["valid"], likes, words=words, config=config, seed=seed)
            seconds = round(time.perf_counter() - begun, 1)
            fits[name].append({"seed": seed, "lists": len(train), "trees": trees.n_trees, "fit_seconds": seconds})
            for part, found in candidates.items():
                measured.add(name, part, trees.scores(found), seed)
            print(name, fits[name][-1], flush=True)
    assert dataset.split is not None
    result = {
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json"),
        "settings": {"ease": EASE_CONFIG.model_dump(mode="json"), "trees": config.model_dump(mode="json")},
        "fits": fits,
        **{part: measured.figures(part) for part in PARTS},
        "made": circumstances(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, result)
    if arguments.lists is not None:
        write_lists(pl.concat(measured.lists["test"]), arguments.lists)


if __name__ == "__main__":
    main()
