"""The table of docs/speed.md on re-ranking: python benchmarks/rerank_speed.py benchmarks/speed/rerank/*.json."""

import json
import sys
from pathlib import Path
from typing import Any


def lines(result: dict[str, Any]) -> list[str]:
    """One row for each way of a result; the ratio is to one prompt for each candidate in the same run."""
    return [
        f"| {result['candidates']} | {way['way']} | {way['dtype']} | {way['per_s']:.0f} | {way['ratio']:.1f}x "
        f"| {waits(way, '')} | {waits(way, 'known_')} |"
        for way in result["rerank"]
    ]


def waits(way: dict[str, Any], kind: str) -> str:
    """Milliseconds: the least, median, 95th percentile."""
    found = [way.get(f"{kind}{name}_ms") for name in ("least", "p50", "p95")]
    return " / ".join(f"{value:.3g}" for value in found if value is not None)


def main(files: list[str]) -> None:
    """Print the table."""
    if not files:
        sys.exit(f"usage: {sys.argv[0]} FILE.json ...")
    print("| candidates | way | dtype | per second | ratio | 20 candidates, ms | the same, known person |")
    print("|---|---|---|---|---|---|---|")
    for file in files:
        print("\n".join(lines(json.loads(Path(file).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main(sys.argv[1:])
