"""What trec_eval says of the lists of a file: the accuracy of our ranking, recomputed by others.

    pip install ir-measures==0.4.3     # an environment of its own, beside ours
    python benchmarks/ranking_oracle.py LISTS.parquet --out FILE.json

The file alone is read, by polars. Items that would be right but stand in no list are told from each other by a number
only, as how many there are is all that counts. Scores are ranks turned round: trec_eval breaks ties its own way.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ir_measures
import polars as pl
from ir_measures import AP, RR, P, Qrel, R, ScoredDoc, Success, nDCG

MEASURES = {"ndcg": nDCG, "recall": R, "precision": P, "hit_rate": Success, "mrr": RR, "map": AP}


def figures(lists: pl.DataFrame, cutoffs: list[int]) -> dict[str, dict[str, float]]:
    """`{figure@k: {user: value}}` of one method's lists."""
    right, run = [], []
    for user, item, rank, relevant in lists.select("user_id", "item_id", "rank", "relevant").iter_rows():
        if item is not None:
            run.append(ScoredDoc(user, item, -float(rank)))
            right += [Qrel(user, item, 1)] if relevant else []
    counts = lists.group_by("user_id").agg(pl.col("targets").first(), pl.col("relevant").sum())
    for user, targets, found in counts.iter_rows():
        right += [Qrel(user, f"not found {number}", 1) for number in range(targets - found)]
    measures = {MEASURES[name] @ k: f"{name}@{k}" for name in MEASURES for k in cutoffs}
    result: dict[str, dict[str, float]] = {name: {} for name in measures.values()}
    for one in ir_measures.iter_calc(list(measures), right, run):
        result[measures[one.measure]][one.query_id] = one.value
    return result


def main() -> None:
    """Read the arguments and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[5, 10, 20])
    arguments = parser.parse_args()
    parts = pl.read_parquet(arguments.lists).partition_by("method", as_dict=True)
    found: dict[str, Any] = {name: figures(part, arguments.cutoffs) for (name,), part in parts.items()}
    made = {name: version(name) for name in ("ir-measures", "pytrec-eval-terrier")}
    arguments.out.write_text(json.dumps({"made by": made, "methods": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
