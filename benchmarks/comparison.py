"""A comparison's table, of either task: python benchmarks/comparison.py benchmarks/ml-1m/table.json.

With --short before the file: some rows and columns of the ranking task, as the README shows them.
"""

import sys
from pathlib import Path
from typing import Any

from ccf_llm.io.files import read_json
from ccf_llm.reports.comparison_page import markdown_table
from ccf_llm.reports.ranking_page import ranking_table

RATING = (
    *("method", "LLM", "CF", "seeds", "AUC", "UAUC", "AUC, LLM alone", "AUC, cold"),
    *("AUC against {baseline}", "AUC against {main}"),
)
RANKING = (
    *("method", "seeds", "users", "NDCG@{k}", "interval", "against {baseline}", "Recall@{k}", "LLM alone"),
    *("LLM's weight", "coverage", "shared by two", "most shown", "minutes"),
)
SHORT = ("method", "NDCG@{k}", "interval", "against {baseline}", "minutes")
SHORT_ROWS = (
    "popularity",
    "knn",
    "als",
    "ease",
    "l3ae",
    "sasrec_softmax",
    "trees_words",
    "ccf_llm",
    "ccf_llm_with_trees",
)


def short(table: dict[str, Any]) -> str:
    """Few rows and columns, for newcomers."""
    rows = [row for row in table["rows"] if row["method"] in SHORT_ROWS]
    return ranking_table(table | {"rows": rows}, SHORT)


def markdown(table: dict[str, Any]) -> str:
    """The columns that benchmarks/README.md shows."""
    return ranking_table(table, RANKING) if table.get("task") == "ranking" else markdown_table(table, RATING)


if __name__ == "__main__":
    *options, file = sys.argv[1:] or sys.exit(f"usage: {sys.argv[0]} [--short] table.json")
    print((short if options == ["--short"] else markdown)(read_json(Path(file))))
