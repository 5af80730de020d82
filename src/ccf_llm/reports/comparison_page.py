"""A comparison for people: Markdown, plots, and a self-contained HTML page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccf_llm.errors import CCFError
from ccf_llm.evaluation.doubtful import MARK, footnotes
from ccf_llm.io.files import write_json, write_text
from ccf_llm.reports.page import DASH, render
from ccf_llm.reports.plots import auc_by_time, rows_by_figure, to_svg, write_png
from ccf_llm.reports.table import Line, four, gap, markdown, page_of_table

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
READ_GENRES = "Rows marked † read genres, which the published protocol leaves out."


def write_comparison(table: dict[str, Any], path: Callable[[str], Path], plot: Callable[[str], Path]) -> None:
    """Write table.json, table.md, table.html and two PNGs; `path` gets a suffix and `plot` a name."""
    if not table["rows"]:
        raise CCFError("comparison: no row to show; run at least one")
    write_json(path(".json"), table)
    write_text(path(".md"), to_markdown(table))
    draws = {"rows": partial(rows_by_figure, table), "time": partial(auc_by_time, table)}
    for name, draw in draws.items():
        write_png(draw, plot(name))
    svgs = {name: Markup(to_svg(draw, name)) for name, draw in draws.items()}
    page = render(
        "comparison.html.j2", table=table, heads=_heads(table), lines=_lines(table), plots=svgs, notes=_notes(table)
    )
    write_text(path(".html"), page)


def to_markdown(table: dict[str, Any]) -> str:
    """The table and what a reader must know, as Markdown."""
    about = f"{table['dataset']}, {table['part']} rows, {table['llm']}."
    return page_of_table(about, markdown_table(table), _notes(table), table["missing"])


def markdown_table(table: dict[str, Any], columns: Sequence[str] = HEADS) -> str:
    """Some columns of the table, named as in `HEADS`, as Markdown; the first is the method, ours in bold."""
    return markdown(_heads(table), _lines(table), [HEADS.index(column) for column in columns])


def _heads(table: dict[str, Any]) -> list[str]:
    heads = [head.format(main=table["main"], baseline=table["baseline"]) for head in HEADS]
    return [f"UAUC {MARK}{MARK}" if head == "UAUC" and "doubtful" in table else head for head in heads]


def _lines(table: dict[str, Any]) -> list[Line]:
    """Each line with its cells in words."""
    genres = table.get("genres", ())
    return [(line, _cells(line, " †" if line["method"] in genres else "")) for line in table["rows"]]


def _notes(table: dict[str, Any]) -> tuple[str, ...]:
    marked = (f"{MARK}{line}" for line in footnotes(table.get("doubtful", {})))  # one mark is that of published rows
    return (*NOTES, *([READ_GENRES] if table.get("genres") else []), *marked)


def _cells(line: dict[str, Any], mark: str) -> list[str]:
    minutes, trainable, peak = (line[key] for key in ("train_minutes", "trainable", "peak_mb"))
    return [
        f"{line['method']}{' *' if line['published'] else mark}",
        line["llm"] or DASH,
        line["cf"] or DASH,
        DASH if line["published"] else str(len(line["seeds"])),
        _with_spread(line, "auc"),
        _with_spread(line, "uauc"),
        *(four(line[key]) for key in ("llm_auc", "warm_auc", "cold_auc", "log_loss", "ece")),
        *(gap(line[other], key) for other in ("vs_main", "vs_mean") for key in ("auc", "uauc")),
        DASH if minutes is None else f"{minutes:.1f}",
        DASH if trainable is None else f"{trainable:,}",
        DASH if peak is None else f"{peak:,.0f}",
    ]


def _with_spread(line: dict[str, Any], key: str) -> str:
    spread = line[f"{key}_sd"]
    return four(line[key]) + (f" ± {spread:.4f}" if spread is not None else "")
