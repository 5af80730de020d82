"""The table of speeds from committed results: python benchmarks/speed.py benchmarks/speed/{scoring,training}-*.json."""

import json
import sys
from pathlib import Path
from typing import Any


def lines(result: dict[str, Any]) -> list[str]:
    """One row for each technique of a result; the ratio is to the plain way in the same run."""
    what = (
        f"scoring {result['candidates']} candidates"
        if "candidates" in result
        else f"training, {result['targets_per_pack']:.0f} targets a pack"
    )
    return [
        f"| {what} | {step['technique']} | {step['dtype']} | {step['per_s']:.1f} | {step['speedup']:.1f}x |"
        for step in result["techniques"]
    ]


def main(files: list[str]) -> None:
    """Print the table."""
    if not files:
        sys.exit(f"usage: {sys.argv[0]} FILE.json ...")
    print("| what | technique, on top of those above it | dtype | per second | ratio |\n|---|---|---|---|---|")
    for file in files:
        print("\n".join(lines(json.loads(Path(file).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main(sys.argv[1:])
