"""What a language model is worth beside all that CF says: a stack of rows of the rating task, with it and without.

    python benchmarks/stack.py RESULTS SOURCE --llm ccf_plain --seed 0 --out RESULTS/stack-seed-0.json

A logistic regression (stacking, Wolpert 1992) over the log-odds of the rows, the training rows of user and item, the
length of the history and the item's year. It is fitted on valid, whose labels the rows have used to choose a state and
not to learn from, and measured on test; `ccf-llm compare` has written the scores of both (`--part valid`, and without).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ccf_llm.cf.item_words import ItemWords
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.rating import evaluate
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.results import ResultFolder
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.files import write_json

Floats = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
PARTS: tuple[Part, ...] = ("test", "valid")
CF = ("item_user_mean", "mf", "gbm", "gbm_words", "ensemble")
FACTS = ("user rows", "item rows", "history length", "year")
WITH, WITHOUT = "stack", "stack without the language model"


def main(results: Path, source: str, llm: str, seed: int, out: Path) -> None:
    """Fit both stacks, measure them and the rows, and write the figures."""
    dataset = open_dataset(source)
    valid, test, counts = dataset.rows("valid"), dataset.rows("test"), TrainedOn.of(dataset).counts
    scores, before = ({row: ResultFolder(results, part).scores(row, seed) for row in (llm, *CF)} for part in PARTS)
    learned = np.stack([*before.values(), *facts(dataset, valid, counts)], axis=1)
    asked = np.stack([*scores.values(), *facts(dataset, test, counts)], axis=1)
    weights: dict[str, dict[str, float]] = {}
    for name, first in ((WITH, 0), (WITHOUT, 1)):  # the language model's column is the first
        stack = make_pipeline(StandardScaler(), LogisticRegression()).fit(learned[:, first:], valid.labels)
        scores[name] = stack.decision_function(asked[:, first:])
        weights[name] = dict(zip((llm, *CF, *FACTS)[first:], stack[-1].coef_[0].round(4).tolist(), strict=True))
    found = evaluate(test, scores, user_counts=counts[0], item_counts=counts[1], baseline=WITHOUT).to_json()
    about = {"dataset": dataset.name, "llm": llm, "seed": seed, "weights": weights}
    write_json(out, about | found | {"made": circumstances()})
    for name, figures in found["models"].items():
        print(f"{name}: AUC {figures['auc']:.4f}, UAUC {figures['uauc']:.4f}")
    worth = found["models"][WITH]["diff"][WITHOUT]
    for figure in ("auc", "uauc"):
        low, high = worth[f"{figure}_ci"]
        print(f"the language model's worth, {figure.upper()}: {worth[figure]:+.4f} ({low:+.4f} to {high:+.4f})")


def facts(dataset: Dataset, rows: Rows, counts: tuple[Counts, Counts]) -> list[Floats]:
    """`FACTS` of each row, (N,) each: counts by their logarithm, an unknown year as the median one."""
    users, items = counts
    years = ItemWords.of(dataset.items).years
    years = np.where(np.isnan(years), np.nanmedian(years), years)
    lengths = rows.end - rows.start
    return [np.log1p(users[rows.users]), np.log1p(items[rows.items]), np.log1p(lengths), years[rows.items]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a comparison's results")
    parser.add_argument("source", help="the data set")
    parser.add_argument("--llm", default="ccf_plain", help="the language model's row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    main(given.results, given.source, given.llm, given.seed, given.out)
