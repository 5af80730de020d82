"""How the cost of a request grows, and that of a log."""

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
    _save(figure, path)


def plot_scale(parts: dict[str, Any], path: Path) -> None:
    """Two panels against rows: processor seconds, and peak memory, of each part that `bench_scale` measured."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, part in parts.items():
        rows, busy, peak = ([point[key] for point in part["points"]] for key in ("rows", "cpu_seconds", "peak_mb"))
        left.plot(rows, busy, marker="o", label=name if part["exponent"] is None else f"{name}: {part['exponent']:.2f}")
        right.plot(rows, peak, marker="o")
    sizes = sorted({point["rows"] for part in parts.values() for point in part["points"]})
    for axes, label, scale in ((left, "processor seconds", "log"), (right, "peak memory, MB", "linear")):
        axes.set(xscale=scale, yscale=scale, xlabel="rows, millions", ylabel=label)
        axes.set_xticks(sizes, [f"{rows / 1e6:g}" for rows in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(title="exponent", fontsize="small", loc="outside right center")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
