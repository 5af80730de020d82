"""A comparison for people: Markdown, plots, and a self-contained HTML page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_file, write_json
from ccf_llm.reports.page import DASH, render, signed
from ccf_llm.reports.plots import auc_by_time, rows_by_figure, to_svg, write_png

HEADS = (
    "method", "LLM", "CF", "seeds", "AUC", "UAUC", "AUC, LLM alone", "AUC, warm", "AUC, cold", "log loss", "ECE",
    "AUC against {main}", "UAUC against {main}", "AUC against {baseline}", "UAUC against {baseline}",
    "minutes", "trainable", "peak MB",
)  # fmt: skip
NOTES = (
    "AUC and UAUC: mean over the seeds ± standard deviation; UAUC over the users with both classes. Differences: mean "
    "over the seeds, with the 95 % interval of a paired bootstrap over users (the same draws for all rows and seeds).",
    "AUC, LLM alone: of rows that blend, without the CF log-odds in the score.",
    "Minutes: training of everything that the row needs, measurements on valid included; a stage that several rows "
    "start from counts in each of them, once. Trainable: weights that its stages move; of a CF row, all its weights. "
    "Peak: resident memory of the process in its stages and its scoring.",
    "Rows marked * are published figures of other language models, not run here.",
)


def write_comparison(table: dict[str, Any], path: Callable[[str], Path], plot: Callable[[str], Path]) -> None:
    """Write table.json, table.md, table.html and two PNGs; `path` gets a suffix and `plot` a name."""
    if not table["rows"]:
        raise CCFError("comparison: no row to show; run at least one")
    write_json(path(".json"), table)
    _write(path(".md"), to_markdown(table))
    draws = {"rows": partial(rows_by_figure, table), "time": partial(auc_by_time, table)}
    for name, draw in draws.items():
        write_png(draw, plot(name))
    svgs = {name: Markup(to_svg(draw, name)) for name, draw in draws.items()}
    page = render("comparison.html.j2", table=table, heads=_heads(table), lines=_lines(table), plots=svgs, notes=NOTES)
    _write(path(".html"), page)


def to_markdown(table: dict[str, Any]) -> str:
    """The table and what a reader must know, as Markdown."""
    missing = f"\nNot run: {'; '.join(table['missing'])}.\n" if table["missing"] else ""
    about = f"{table['dataset']}, {table['part']} rows, {table['llm']}.\n"
    return "\n".join([about, markdown_table(table), "", *(f"{note}\n" for note in NOTES)]) + missing


def markdown_table(table: dict[str, Any], columns: Sequence[str] = HEADS) -> str:
    """Some columns of the table, named as in `HEADS`, as Markdown; the first is the method, ours in bold."""
    chosen = [HEADS.index(column) for column in columns]
    heads = _heads(table)
    body = [f"| {' | '.join(heads[k] for k in chosen)} |", "|---" * len(chosen) + "|"]
    for line, cells in _lines(table):
        name, *rest = (cells[k].replace("|", r"\|") for k in chosen)
        body.append(f"| {' | '.join([f'**{name}**' if line['ours'] else name, *rest])} |")
    return "\n".join(body)


def _heads(table: dict[str, Any]) -> list[str]:
    return [head.format(main=table["main"], baseline=table["baseline"]) for head in HEADS]


def _lines(table: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Each line with its cells in words."""
    return [(line, _cells(line)) for line in table["rows"]]


def _cells(line: dict[str, Any]) -> list[str]:
    minutes, trainable, peak = (line[key] for key in ("train_minutes", "trainable", "peak_mb"))
    return [
        f"{line['method']}{' *' if line['published'] else ''}",
        line["llm"] or DASH,
        line["cf"] or DASH,
        DASH if line["published"] else str(len(line["seeds"])),
        _with_spread(line, "auc"),
        _with_spread(line, "uauc"),
        *(_four(line[key]) for key in ("llm_auc", "warm_auc", "cold_auc", "log_loss", "ece")),
        *(_gap(line[other], key) for other in ("vs_main", "vs_mean") for key in ("auc", "uauc")),
        DASH if minutes is None else f"{minutes:.1f}",
        DASH if trainable is None else f"{trainable:,}",
        DASH if peak is None else f"{peak:,.0f}",
    ]


def _with_spread(line: dict[str, Any], key: str) -> str:
    spread = line[f"{key}_sd"]
    return _four(line[key]) + (f" ± {spread:.4f}" if spread is not None else "")


def _four(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _gap(differences: dict[str, list[float | None]] | None, key: str) -> str:
    """`+0.012 (+0.002 to +0.022)`."""
    if differences is None:
        return DASH
    gap, low, high = differences[key]
    return f"{signed(gap)} ({signed(low)} to {signed(high)})"


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
