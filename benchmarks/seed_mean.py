"""What the seeds of a row say together: the mean of their log-odds, for each row of a comparison of the rating task.

    python benchmarks/seed_mean.py RESULTS SOURCE --row gbm_words --row ccf_odds --row ccf_odds_with_trees --out FILE

Models that differ by chance alone err in part apart, so their mean is ahead of each (bagging, Breiman 1996), at their
number times the cost; the rivals are averaged alike. `--part valid` says what to expect.
"""

import argparse
from pathlib import Path

import numpy as np

from ccf_llm.data.manifest import Part
from ccf_llm.data.named import open_dataset
from ccf_llm.evaluation.rating import evaluate
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.results import ResultFolder
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.files import write_json


def main(results: Path, source: str, names: list[str], seeds: list[int], part: Part, out: Path) -> None:
    """Average, measure, write the figures, and print each row beside the first."""
    dataset = open_dataset(source)
    rows, counts, folder = dataset.rows(part), TrainedOn.of(dataset).counts, ResultFolder(results, part)
    scores = {name: np.mean([folder.scores(name, seed) for seed in seeds], axis=0) for name in names}
    found = evaluate(rows, scores, user_counts=counts[0], item_counts=counts[1], baseline=names[0]).to_json()
    write_json(out, {"dataset": dataset.name, "part": part, "seeds": seeds} | found | {"made": circumstances()})
    for name, figures in found["models"].items():
        print(f"{name}: AUC {figures['auc']:.4f}, UAUC {figures['uauc']:.4f}")
        for figure in ("auc", "uauc") if name != names[0] else ():
            low, high = figures["diff"][names[0]][f"{figure}_ci"]
            print(f"  over {names[0]}, {figure}: {figures['diff'][names[0]][figure]:+.4f} ({low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a comparison's results")
    parser.add_argument("source", help="the data set")
    parser.add_argument("--row", action="append", required=True, help="a row; the others are set against the first")
    parser.add_argument("--seed", type=int, action="append", help="0, 1 and 2 if none is given")
    parser.add_argument("--part", choices=["test", "valid"], default="test")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    main(given.results, given.source, given.row, given.seed or [0, 1, 2], given.part, given.out)
