"""The README's table of a comparison: python benchmarks/comparison.py benchmarks/ml-1m/table.json."""

import json
import sys
from pathlib import Path
from typing import Any

from ccf_llm.evaluation.page import DASH

HEADS = (
    "method",
    "LLM",
    "CF",
    "seeds",
    "AUC",
    "UAUC",
    "AUC, LLM alone",
    "AUC, cold",
    "AUC against {baseline}",
    "AUC against {main}",
)


def main(file: str) -> None:
    """Print it."""
    table = json.loads(Path(file).read_text(encoding="utf-8"))
    heads = [head.format(baseline=table["baseline"], main=table["main"]) for head in HEADS]
    print(f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", sep="\n")
    for row in table["rows"]:
        print(f"| {' | '.join(cells(row))} |")


def cells(row: dict[str, Any]) -> list[str]:
    """A row in words; published rows have a star, ours are bold."""
    name = f"{row['method']} *" if row["published"] else f"**{row['method']}**" if row["ours"] else row["method"]
    return [
        name,
        row["llm"] or DASH,
        row["cf"] or DASH,
        DASH if row["published"] else str(len(row["seeds"])),
        *(spread(row, figure) for figure in ("auc", "uauc")),
        *(four(row[figure]) for figure in ("llm_auc", "cold_auc")),
        *(gap(row[other]) for other in ("vs_mean", "vs_main")),
    ]


def spread(row: dict[str, Any], figure: str) -> str:
    """`mean ± standard deviation`, the latter where there are several seeds."""
    sd = row[f"{figure}_sd"]
    return four(row[figure]) + ("" if sd is None else f" ± {sd:.4f}")


def four(value: float | None) -> str:
    """Four digits, or a dash."""
    return DASH if value is None else f"{value:.4f}"


def gap(paired: dict[str, list[float]] | None) -> str:
    """`+0.012 (+0.002 to +0.022)`."""
    if paired is None:
        return DASH
    value, low, high = paired["auc"]
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} table.json")
    main(sys.argv[1])
