"""The README's table of a comparison, of either task: python benchmarks/comparison.py benchmarks/ml-1m/table.json."""

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


def markdown(table: dict[str, Any]) -> str:
    """The columns that the README shows."""
    return ranking_table(table, RANKING) if table.get("task") == "ranking" else markdown_table(table, RATING)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} table.json")
    print(markdown(read_json(Path(sys.argv[1]))))
