"""Print the table of docs/serving.md from the files in results/."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ROWS = {
    "clients-64": "64 clients for 60 s, deadline 1.5 s",
    "clients-256": "256 clients for 60 s, deadline 1.5 s",
    "one-person": "re-ranked, one client, a new person each time",
    "one-person-again": "re-ranked, one client, the same person",
    "cf": "CF answer, one client",
}


def main() -> None:
    """Print it."""
    print("| | answers | p50 | p95 | p99 | longest | degraded | 503 | later than deadline + 200 ms | errors | memory |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, title in ROWS.items():
        figures = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        times = [f"{figures[key]:,.0f} ms" for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
        counts = [f"{figures[key]:,}" for key in ("degraded", "rejected", "late", "errors")]
        memory = f"{figures['memory_mb'][0]:,.0f} to {figures['memory_mb'][-1]:,.0f} MB"
        print(f"| {title} | {figures['requests']:,} | {' | '.join(times + counts)} | {memory} |")


if __name__ == "__main__":
    main()
