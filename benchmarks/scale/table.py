"""Print the tables of docs/scaling.md from the files that it is given: of `bench scale`, or of catalogue_scale.py."""

import json
import sys
from pathlib import Path
from typing import Any


def print_parts(files: list[dict[str, Any]]) -> None:
    """A row for each part and file, a cell for each number of rows."""
    sizes = sorted({rows for found in files for rows in found["rows"]})
    print(f"| | {' | '.join(f'{rows / 1e6:g} M rows' for rows in sizes)} | exponent | bytes a row |")
    print("|---" * (len(sizes) + 3) + "|")
    for found in files:
        for name, part in found["parts"].items():
            points = {point["rows"]: _cell(point) for point in part["points"]}
            cells = " | ".join(points.get(rows, "") for rows in sizes)
            growth = f"{part['exponent']:.2f} | {part['bytes_per_row']:.0f}" if len(points) > 1 else " | "
            print(f"| {name} | {cells} | {growth} |")


def _cell(point: dict[str, float]) -> str:
    """Seconds and peak, and in brackets what of it is no page of a file, where that was measured."""
    own = f" ({point['own_mb']:,.0f})" if "own_mb" in point else ""
    return f"{point['cpu_seconds']:.1f} s, {point['peak_mb']:,.0f} MB{own}"


def print_catalogue(found: dict[str, Any]) -> None:
    """A row for each filter and depth."""
    print("| filter leaves | best | recall | index, p50 | p95 | brute force, p50 |")
    print("|---|---|---|---|---|---|")
    for row in found["rows"]:
        times = " | ".join(f"{row[key]:.0f} ms" for key in ("p50_ms", "p95_ms", "brute_force_p50_ms"))
        left = "all items" if row["filter"] == "none" else row["filter"]
        print(f"| {left} | {row['k']:,} | {row['recall']:.3f} | {times} |")


def main() -> None:
    """Print the table of the files' kind."""
    files = [json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    if "parts" in files[0]:
        print_parts(files)
    else:
        print_catalogue(files[0])


if __name__ == "__main__":
    main()
