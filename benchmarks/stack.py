"""What a language model is worth beside all that CF says: a stack of rows of the rating task, with its column and.

    python benchmarks/stack.py RESULTS SOURCE --llm ccf_plain --seed 0 --out RESULTS/stack.json

A logistic regression (stacking, Wolpert 1992) over the log-odds of the rows, the training rows of user and item, the
length of the history and the item's year. It is fitted on valid, which no row has learned from, and measured on test;
`ccf-llm compare` has written the scores of both parts (`--part valid`, and without it).
"""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.rating import evaluate
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.results import ResultFolder
from ccf_llm.io.files import write_json

Floats = NDArray[np.floating[Any]]
CF = ("item_user_mean", "mf", "gbm", "ensemble")
NAMES = ("stack", "stack without the language model")


def main(results: Path, source: str, llm: str, seed: int, out: Path) -> None:
    """Fit both stacks, measure them and the rows, and write the figures."""
    dataset = open_dataset(source)
    valid, test = dataset.rows("valid"), dataset.rows("test")
    scores = {name: ResultFolder(results).scores(name, seed) for name in (llm, *CF)}
    weights: dict[str, dict[str, float]] = {}
    for name, rows in zip(NAMES, ((llm, *CF), CF), strict=True):
        stack = make_pipeline(StandardScaler(), LogisticRegression())
        stack.fit(columns(ResultFolder(results, "valid"), rows, seed, dataset, valid), valid.labels)
        scores[name] = stack.decision_function(columns(ResultFolder(results), rows, seed, dataset, test))
        weights[name] = dict(zip((*rows, *FACTS), stack[-1].coef_[0].round(4).tolist(), strict=True))
    users, items = counts(dataset)
    found = evaluate(test, scores, user_counts=users, item_counts=items, baseline=NAMES[1]).to_json()
    about = {"dataset": dataset.name, "llm": llm, "seed": seed, "weights": weights}
    write_json(out, about | found | {"made": circumstances()})
    for name, figures in found["models"].items():
        print(f"{name}: AUC {figures['auc']:.4f}, UAUC {figures['uauc']:.4f}")
    worth = found["models"][NAMES[0]]["diff"][NAMES[1]]
    for figure in ("auc", "uauc"):
        low, high = worth[f"{figure}_ci"]
        print(f"the language model's worth, {figure.upper()}: {worth[figure]:+.4f} ({low:+.4f} to {high:+.4f})")


FACTS = ("user rows", "item rows", "history length", "year")


def columns(folder: ResultFolder, rows: tuple[str, ...], seed: int, dataset: Dataset, of: Rows) -> Floats:
    """(N, c) log-odds of the rows, and the facts of each pair; counts by their logarithm."""
    users, items = counts(dataset)
    years = np.array([0.0, *map(year, dataset.items["title"])])
    years[years == 0] = np.median(years[years > 0])
    facts = [np.log1p(users[of.users]), np.log1p(items[of.items]), np.log1p(of.end - of.start), years[of.items]]
    return np.stack([*(folder.scores(row, seed) for row in rows), *facts], axis=1)


def counts(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training rows of each user and of each item, by code."""
    train = dataset.rows("train")
    sizes = len(dataset.user_vocabulary) + 1, len(dataset.item_vocabulary) + 1
    return np.bincount(train.users, minlength=sizes[0]), np.bincount(train.items, minlength=sizes[1])


def year(title: str) -> float:
    """The year in brackets at a title's end; 0 where there is none."""
    found = re.search(r"\((\d{4})\)\s*$", title)
    return float(found[1]) if found else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a comparison's results")
    parser.add_argument("source", help="the data set")
    parser.add_argument("--llm", default="ccf_plain", help="the language model's row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    main(given.results, given.source, given.llm, given.seed, given.out)
