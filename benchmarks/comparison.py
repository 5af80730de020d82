"""The README's table of a comparison: python benchmarks/comparison.py benchmarks/ml-1m/table.json."""

import sys
from pathlib import Path

from ccf_llm.io.files import read_json
from ccf_llm.reports.comparison_page import markdown_table

COLUMNS = (
    *("method", "LLM", "CF", "seeds", "AUC", "UAUC", "AUC, LLM alone", "AUC, cold"),
    *("AUC against {baseline}", "AUC against {main}"),
)

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} table.json")
    print(markdown_table(read_json(Path(sys.argv[1])), COLUMNS))
