"""The report's plots: matplotlib figures without pyplot or global state, as inline SVG or as one PNG."""

import re
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from ccf_llm.evaluation.slices import history_slices, likes_slices
from ccf_llm.io.files import atomic_file

INK = "#010203"
"""Colour of text and axes; the SVG says `currentColor` in its place, and so follows the page, light or dark."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a58900", "#3fa3d8", "#7f7f7f")
"""Okabe and Ito's palette, told apart by colour-blind readers, on white and on black."""
MARKERS = "os^Dv<>"
STYLE: dict[Any, Any] = {  # Any: matplotlib types the keys as a literal of every setting there is
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "ccf-llm",
    "text.color": INK,
    "text.parse_math": False,  # names are data: a dollar sign in one is a dollar sign
    "xtick.color": INK,
    "ytick.color": INK,
}


def overview(metrics: dict[str, Any]) -> Figure:
    """AUC of each method with its 95 % interval, best on top."""
    defined = [(name, model) for name, model in metrics["models"].items() if model["auc"] is not None]
    ranked = sorted(defined, key=lambda pair: pair[1]["auc"])
    figure, (axes,) = _figure(1, height=0.9 + 0.36 * max(1, len(ranked)))
    for row, (name, model) in enumerate(ranked):
        _point(axes, row, model["auc"], model["auc_ci"], COLOURS[0] if name == "ccf_llm" else COLOURS[-1])
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.set_xlabel("AUC, with 95 % interval over users")
    axes.grid(axis="y", visible=False)
    return figure


def training_curves(runs: list[dict[str, Any]]) -> Figure:
    """Loss (moving average) above, AUC on the validation rows below, by step; one line per run and stage."""
    figure, (top, bottom) = _figure(2, height=4.4)
    for number, run in enumerate(runs):
        look = {"color": COLOURS[number % len(COLOURS)], "label": f"{run['run']}, {run['stage']}"}
        loss = np.asarray(run["loss"], dtype=float)
        if len(loss):
            window = max(1, len(loss) // 40)
            top.plot(np.asarray(run["steps"])[window - 1 :], _moving_average(loss, window), linewidth=1.3, **look)
        figure_name = "ndcg@10" if any("ndcg@10" in point for point in run["valid"]) else "auc"
        valid = [point for point in run["valid"] if point[figure_name] is not None]
        marker = MARKERS[number % len(MARKERS)]
        bottom.plot([p["step"] for p in valid], [p[figure_name] for p in valid], marker=marker, markersize=4, **look)
        bottom.set_ylabel(f"valid {figure_name.upper()}")
    top.set_ylabel("training loss")
    bottom.set_xlabel("step")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = bottom.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def auc_by_history(metrics: dict[str, Any]) -> Figure:
    """AUC of each method for each bucket of history length, with 95 % intervals."""
    buckets = [name for name in history_slices() if metrics["rows"]["slices"].get(name)]
    figure, (axes,) = _figure(1, height=3.4)
    models = metrics["models"]
    for number, (name, model) in enumerate(models.items()):
        found = [(place, model["slices"][bucket]) for place, bucket in enumerate(buckets)]
        found = [(place, part) for place, part in found if part["auc"] is not None]
        x = [place + 0.5 * ((number + 0.5) / len(models) - 0.5) for place, _ in found]  # side by side, not on top
        y = [part["auc"] for _, part in found]
        bars = np.abs(np.array([part["auc_ci"] for _, part in found], dtype=float).reshape(-1, 2).T - y)
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.errorbar(x, y, bars, label=name, linestyle="none", markersize=5, elinewidth=1, **look)
    axes.set_xticks(
        range(len(buckets)),
        [f"{bucket.removeprefix('history ')}\n({metrics['rows']['slices'][bucket]:,} rows)" for bucket in buckets],
    )
    axes.set_xlabel("liked items in the history")
    axes.set_ylabel("AUC")
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def gate_shares(gate: list[dict[str, Any]]) -> Figure:
    """Mean share of text, and of the collaborative signal, in the fused vector, by the item's training interactions."""
    figure, (axes,) = _figure(1, height=2.8)
    places, text = [str(bucket["popularity"]) for bucket in gate], [1 - bucket["share"] for bucket in gate]
    bars = axes.bar(places, text, color=COLOURS[1], label="text")
    axes.bar(places, [bucket["share"] for bucket in gate], bottom=text, color=COLOURS[0], label="collaborative")
    axes.bar_label(bars, [f"{share:.2f}" for share in text], label_type="center", color="white")
    axes.set_xlabel("training interactions of the item")
    axes.set_ylabel("share of the slot")
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def rows_by_figure(table: dict[str, Any]) -> Figure:
    """AUC and UAUC of each row of a comparison side by side, best AUC on top, ± one standard deviation over seeds."""
    lines = [line for line in reversed(table["rows"]) if line["auc"] is not None]
    figure = Figure(figsize=(8.2, 1.1 + 0.23 * max(1, len(lines))), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key in zip(panels, ("auc", "uauc"), strict=True):
        for place, line in enumerate(lines):
            if line[key] is None:
                continue
            look: dict[str, Any] = {"color": _colour_of(line), "marker": "D" if line["published"] else "o"}
            axes.errorbar(line[key], place, xerr=line[f"{key}_sd"], markersize=5, elinewidth=1.5, **look)
        axes.set_xlabel(key.upper())
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(lines)), [_row_name(line) for line in lines])
    panels[0].set_ylim(-0.7, len(lines) - 0.3)
    figure.legend(handles=_kinds_of_row(), loc="outside lower center", ncols=3)
    return figure


def ndcg_by_row(table: dict[str, Any]) -> Figure:
    """NDCG of each row of a comparison of lists, and its paired difference to the retriever, with intervals over users;
    the best on top.
    """
    k = table["lists"]["k"]
    lines = [line for line in reversed(table["rows"]) if line[f"ndcg@{k}"] is not None]
    figure = Figure(figsize=(8.2, 1.1 + 0.26 * max(1, len(lines))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, line in enumerate(lines):
        colour = COLOURS[0] if line["ours"] else COLOURS[-1]
        _bar(left, place, line[f"ndcg@{k}"], line[f"ndcg@{k}_ci"], colour)
        if line["vs_retriever"] is not None:
            gap, *ends = line["vs_retriever"]["ndcg"]
            _bar(right, place, gap, ends, colour)
    left.set_yticks(range(len(lines)), [line["method"] for line in lines])
    left.set_ylim(-0.7, len(lines) - 0.3)
    left.set_xlabel(f"NDCG@{k}, with 95 % interval over users")
    right.axvline(0, color=INK, linewidth=1)
    right.set_xlabel(f"paired difference to {table['baseline']}")
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    return figure


def ndcg_by_likes(table: dict[str, Any]) -> Figure:
    """NDCG of each row by how many people like the target in training, with intervals over users; ours is thicker."""
    k, rows = table["lists"]["k"], table["rows"]
    people = {name: max((line["slices"][name]["users"] for line in rows), default=0) for name in likes_slices()}
    buckets = [name for name in people if people[name]]
    figure, (axes,) = _figure(1, height=3.6 + 0.12 * len(rows))
    for number, line in enumerate(rows):
        found = [(place, line["slices"][name]) for place, name in enumerate(buckets) if line["slices"][name]["users"]]
        x = [place + 0.6 * ((number + 0.5) / len(rows) - 0.5) for place, _ in found]  # side by side, not on top
        y = np.array([part[f"ndcg@{k}"] for _, part in found], dtype=float)
        bars = np.abs(np.array([part[f"ndcg@{k}_ci"] for _, part in found], dtype=float).reshape(-1, 2).T - y)
        marker, width = MARKERS[number // len(COLOURS) % len(MARKERS)], 2.2 if line["ours"] else 0.9
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": marker, "linewidth": width}
        axes.errorbar(x, y, bars, label=line["method"], markersize=4, elinewidth=0.7, **look)
    axes.set_xticks(
        range(len(buckets)),
        [f"{name.removeprefix('target likes ')}\n({people[name]:,})" for name in buckets],
    )
    axes.set_xlabel("people who like the target in training (people who have such a target)")
    axes.set_ylabel(f"NDCG@{k}")
    axes.set_ylim(bottom=0)
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def auc_by_time(table: dict[str, Any]) -> Figure:
    """AUC of each row that was run here against the minutes of its training, on a logarithmic axis."""
    lines = [line for line in table["rows"] if line["train_minutes"] and line["auc"] is not None]
    figure, (axes,) = _figure(1, height=3.6)
    for line in lines:
        axes.plot(line["train_minutes"], line["auc"], "o", color=_colour_of(line), markersize=5)
        axes.annotate(
            line["method"], (line["train_minutes"], line["auc"]), xytext=(3, 3), textcoords="offset points", fontsize=6
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # powers would be written as mathematics
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("AUC")
    return figure


def stacked_bars(labels: list[str], series: dict[str, list[int]], of: str) -> Figure:
    """Counts of rows, users or items by label, one series on top of the other; `of` says what is counted by what."""
    figure, (axes,) = _figure(1, height=2.8)
    below = np.zeros(len(labels))
    for number, (name, counts) in enumerate(series.items()):
        axes.bar(range(len(labels)), counts, bottom=below, color=COLOURS[number % len(COLOURS)], label=name)
        below += counts
    every = -(-len(labels) // 10)
    axes.set_xticks(range(0, len(labels), every), labels[::every], rotation=30, ha="right")
    axes.set_ylabel(of)
    axes.grid(axis="x", visible=False)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _row_name(line: dict[str, Any]) -> str:
    """Method and, for a published one, its language model."""
    return f"{line['method']}, {line['llm'] or 'published'}" if line["published"] else str(line["method"])


def to_svg(draw: Callable[[], Figure], name: str) -> str:
    """The figure as an `<svg>` element of a page; `name` keeps its ids apart from those of other figures."""
    text = StringIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the measuring font lacks is drawn by the browser
        draw().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the figure around it carries the text alternative


def write_png(draw: Callable[[], Figure], path: Path) -> None:
    """Write a figure as a PNG on white, for a page that cannot hold SVG."""
    with atomic_file(path) as temporary, matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = draw()
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")


def _colour_of(line: dict[str, Any]) -> str:
    """Ours, published, or another that was run here."""
    return COLOURS[0] if line["ours"] else COLOURS[1] if line["published"] else COLOURS[-1]


def _kinds_of_row() -> list[Line2D]:
    kinds = (("ours", COLOURS[0], "o"), ("others, run here", COLOURS[-1], "o"), ("published", COLOURS[1], "D"))
    return [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=label) for label, colour, marker in kinds
    ]


def _figure(panels: int, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure that is as wide as a phone at one point per pixel, and its panels, one below the other."""
    figure = Figure(figsize=(5.4, height), layout="constrained")
    return figure, figure.subplots(panels, sharex=True, squeeze=False)[:, 0]


def _point(axes: Axes, row: int, value: float, ends: list[float | None], colour: str) -> None:
    """A dot with its interval, where there is one, and its value written above."""
    if None not in ends:
        axes.hlines(row, ends[0], ends[1], color=colour, linewidth=2)  # type: ignore[arg-type]
    axes.plot(value, row, "o", color=colour, markersize=7)
    axes.annotate(f"{value:.3f}", (value, row), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=8)


def _bar(axes: Axes, place: int, value: float, ends: list[float | None], colour: str) -> None:
    """A dot with its interval, where there is one."""
    low, high = (value if end is None else end for end in ends)
    axes.errorbar(value, place, xerr=[[value - low], [high - value]], color=colour, marker="o", markersize=5)


def _moving_average(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """(n - window + 1,) mean of each `window` neighbours."""
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
