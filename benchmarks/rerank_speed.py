"""The table of docs/speed.md on re-ranking, from the results of `ccf-llm bench scoring --json FILE.json`."""

import json
import sys
from pathlib import Path
from typing import Any


def line(way: dict[str, Any]) -> str:
    """One row; the ratios are to one prompt for each candidate in the same run."""
    rates = [f"{way[f'per_s_{n}']:,.0f} ({way[f'ratio_{n}']:,.1f}x)" for n in (32, 100)]
    return f"| {' | '.join([way['way'], way['dtype'], *rates, waits(way, ''), waits(way, 'known_')])} |"


def waits(way: dict[str, Any], kind: str) -> str:
    """Milliseconds: the least, median, 95th percentile."""
    found = [way.get(f"{kind}{name}_ms") for name in ("least", "p50", "p95")]
    return " / ".join(f"{value:.3g}" for value in found if value is not None)


def main(files: list[str]) -> None:
    """Print the table."""
    if len(files) != 1:
        sys.exit(f"usage: {sys.argv[0]} FILE.json")
    print("| way | dtype | 32 candidates, per second | 100, per second | 20 candidates, ms | the same, known person |")
    print("|---|---|---|---|---|---|")
    print("\n".join(map(line, json.loads(Path(files[0]).read_text(encoding="utf-8"))["rerank"])))


if __name__ == "__main__":
    main(sys.argv[1:])
