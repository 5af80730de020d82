"""How far two rows of different folders are apart, paired over the users whom both have lists for.

    python benchmarks/paired.py benchmarks/ranking/FOLDER/ccf_llm benchmarks/ranking/OTHER/collm
    python benchmarks/paired.py benchmarks/ranking/FOLDER/ccf_llm benchmarks/ranking/OTHER/ease new  # new items alone

A user's NDCG@10 is averaged over a row's seeds; the interval is of 95 %, over users.
"""

import sys
from pathlib import Path

import polars as pl

from ccf_llm.evaluation.known import Among
from ccf_llm.evaluation.lists import read_lists
from ccf_llm.evaluation.ranking import evaluate_lists


def lists_of(row: Path, name: str, among: Among) -> pl.DataFrame:
    """The lists of all seeds of a row on test, under this name."""
    files = sorted(row.glob("seed-*-new.parquet" if among == "new" else "seed-*[0-9].parquet"))
    if not files:
        sys.exit(f"{row}: holds no lists")
    return pl.concat(read_lists(file) for file in files).with_columns(pl.lit(name).alias("method"))


def main(rows: list[str]) -> None:
    """Print one line."""
    among: Among = "new" if rows[2:] == ["new"] else "all"
    if len(rows) != (3 if among == "new" else 2):
        sys.exit(f"usage: {sys.argv[0]} ROW ROW [new]")
    pair = [lists_of(Path(row), name, among) for row, name in zip(rows[:2], "ab", strict=True)]
    both = pair[0].join(pair[1], on="user_id", how="semi")["user_id"].unique()
    found = evaluate_lists(pl.concat(lists.filter(pl.col("user_id").is_in(both.implode())) for lists in pair))["models"]
    ahead = found["a"]["diff"]["b"]
    low, high = ahead["ndcg@10_ci"]
    figures = " and ".join(f"{found[name]['ndcg@10']:.4f}" for name in "ab")
    print(f"{figures}, {len(both)} users: {ahead['ndcg@10']:+.4f} ({low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    main(sys.argv[1:])
