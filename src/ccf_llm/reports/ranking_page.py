"""A comparison of ranked lists for people: Markdown, plots, and a self-contained HTML page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccf_llm.io.files import atomic_file, write_json
from ccf_llm.reports.page import DASH, render, signed
from ccf_llm.reports.plots import ndcg_by_row, to_svg, write_png

HEADS = (
    "method", "LLM", "retriever", "seeds", "users", "NDCG@{k}", "interval", "against {baseline}", "against {main}",
    "Recall@{k}", "MRR@{k}", "LLM alone", "LLM's weight", "coverage", "shared by two", "most shown", "long tail",
    "minutes", "peak MB",
)  # fmt: skip
NOTES = (
    "Lists over the whole catalogue, what a user has met left out; means over users, a user's figures averaged over "
    "the seeds, with 95 % intervals of a bootstrap over users; differences are paired over the users that both have.",
    "A row with a language model puts the best of its retriever in order by a times the language model's log-odds "
    "plus b times the retriever's score; a and b are fitted on valid, and a is 0 where the language model does not "
    "help. LLM alone: by its log-odds without the retriever's score.",
    "Minutes: training of everything that the row needs, measurements on valid included. Shared by two: how much of "
    "their ten two users have in common. Most shown: the share of lists in which the most frequent item stands.",
)


def write_ranking(table: dict[str, Any], path: Callable[[str], Path], plot: Callable[[str], Path]) -> None:
    """Write table.json, table.md, table.html and a PNG; `path` gets a suffix and `plot` a name."""
    write_json(path(".json"), table)
    _write(path(".md"), to_markdown(table))
    draw = partial(ndcg_by_row, table)
    write_png(draw, plot("rows"))
    heads = _heads(table)
    lines = [(line, _cells(line, table)) for line in table["rows"]]
    plots = {"rows": Markup(to_svg(draw, "rows"))}
    page = render("comparison.html.j2", table=table, heads=heads, lines=lines, plots=plots, notes=NOTES)
    _write(path(".html"), page)


def to_markdown(table: dict[str, Any]) -> str:
    """The table and what a reader must know, as Markdown."""
    missing = f"\nNot run: {'; '.join(table['missing'])}.\n" if table["missing"] else ""
    about = f"{table['dataset']}, {table['part']}, {table['lists']['users']:,} users, {table['llm']}.\n"
    return "\n".join([about, ranking_table(table), "", *(f"{note}\n" for note in NOTES)]) + missing


def ranking_table(table: dict[str, Any], columns: Sequence[str] = HEADS) -> str:
    """Some columns of the table, named as in `HEADS`, as Markdown; the first is the method, ours in bold."""
    chosen = [HEADS.index(column) for column in columns]
    heads = _heads(table)
    body = [f"| {' | '.join(heads[k] for k in chosen)} |", "|---" * len(chosen) + "|"]
    for line in table["rows"]:
        name, *rest = (_cells(line, table)[k].replace("|", r"\|") for k in chosen)
        body.append(f"| {' | '.join([f'**{name}**' if line['ours'] else name, *rest])} |")
    return "\n".join(body)


def _heads(table: dict[str, Any]) -> list[str]:
    return [head.format(k=table["lists"]["k"], main=table["main"], baseline=table["baseline"]) for head in HEADS]


def _cells(line: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """A line in words."""
    k = table["lists"]["k"]
    low, high = line[f"ndcg@{k}_ci"]
    spread = f" ± {line['ndcg_sd']:.4f}" if line["ndcg_sd"] is not None else ""
    return [
        line["method"],
        line["llm"] or DASH,
        line["cf"] or DASH,
        str(len(line["seeds"])),
        f"{line['users']:,}",
        _four(line[f"ndcg@{k}"]) + spread,
        f"{_four(low)} to {_four(high)}",
        _gap(line["vs_retriever"]),
        _gap(line["vs_main"]),
        _four(line[f"recall@{k}"]),
        _four(line[f"mrr@{k}"]),
        _four(line["llm_ndcg"]),
        _four(line["llm_weight"]),
        *(_four(line.get(f"{name}@{k}")) for name in ("coverage", "overlap", "most_shown", "long_tail")),
        f"{line['train_minutes']:.1f}",
        f"{line['peak_mb']:,.0f}",
    ]


def _four(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _gap(difference: dict[str, Any] | None) -> str:
    """`+0.012 (+0.002 to +0.022)`."""
    if difference is None:
        return DASH
    gap, low, high = difference["ndcg"]
    return f"{signed(gap)} ({signed(low)} to {signed(high)})"


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
