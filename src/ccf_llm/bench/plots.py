"""How the cost of a request grows."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ccf_llm.io.files import atomic_file


def plot_growth(growth: dict[str, Any], path: Path) -> None:
    """Three panels: seconds against candidates, likes in the prompt, and items in the catalogue."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, (key, x, label, log) in zip(
        panels,
        [
            ("by_candidates", "candidates", "candidates of one user", True),
            ("by_history", "likes", "likes in the prompt (100 candidates)", False),
            ("by_catalogue", "items", "items in the catalogue (CF retrieval)", True),
        ],
        strict=True,
    ):
        points = growth[key]
        axes.plot([p[x] for p in points], [p["seconds"] for p in points], marker="o", color="#2a6f97")
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(label)
        axes.set_ylabel("seconds")
        axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
