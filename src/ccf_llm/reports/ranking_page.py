"""A comparison of ranked lists for people: Markdown, plots, and a self-contained HTML page."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccf_llm.evaluation.doubtful import footnotes
from ccf_llm.io.files import write_json, write_text
from ccf_llm.reports.page import DASH, render
from ccf_llm.reports.plots import ndcg_by_likes, ndcg_by_row, to_svg, write_png
from ccf_llm.reports.table import Line, four, gap, markdown, page_of_table

HEADS = (
    "method", "LLM", "retriever", "seeds", "users", "NDCG@{k}", "interval", "against {baseline}", "against {main}",
    "Recall@{k}", "MRR@{k}", "LLM alone", "LLM's weight", "coverage", "shared by two", "most shown", "long tail",
    "minutes", "peak MB",
)  # fmt: skip
OF_NEW = ("new among new", "against {baseline}", "new in the list", "new among hits")
"""Further columns where the split holds out new items."""
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
    """Write table.json, table.md, table.html and PNGs; `path` gets a suffix and `plot` a name."""
    write_json(path(".json"), table)
    write_text(path(".md"), to_markdown(table))
    draws = {"rows": partial(ndcg_by_row, table), "likes": partial(ndcg_by_likes, table)}
    for name, draw in draws.items():
        write_png(draw, plot(name))
    heads = _heads(table)
    lines = _lines(table)
    plots = {name: Markup(to_svg(draw, name)) for name, draw in draws.items()}
    page = render("comparison.html.j2", table=table, heads=heads, lines=lines, plots=plots, notes=_notes(table))
    write_text(path(".html"), page)


def to_markdown(table: dict[str, Any]) -> str:
    """The table and what a reader must know, as Markdown."""
    about = f"{table['dataset']}, {table['part']}, {table['lists']['users']:,} users, {table['llm']}."
    columns = range(len(_heads(table)))
    return page_of_table(about, markdown(_heads(table), _lines(table), columns), _notes(table), table["missing"])


def ranking_table(table: dict[str, Any], columns: Sequence[str] = HEADS) -> str:
    """Some columns of the table, named as in `HEADS`, as Markdown; the first is the method, ours in bold."""
    return markdown(_heads(table), _lines(table), [HEADS.index(column) for column in columns])


def _heads(table: dict[str, Any]) -> list[str]:
    heads = (*HEADS, *OF_NEW) if "new_items" in table["lists"] else HEADS
    return [head.format(k=table["lists"]["k"], main=table["main"], baseline=table["baseline"]) for head in heads]


def _lines(table: dict[str, Any]) -> list[Line]:
    """Each line with its cells in words."""
    return [(line, _cells(line, table)) for line in table["rows"]]


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
        four(line[f"ndcg@{k}"]) + spread,
        f"{four(low)} to {four(high)}",
        gap(line["vs_retriever"], "ndcg"),
        gap(line["vs_main"], "ndcg"),
        four(line[f"recall@{k}"]),
        four(line[f"mrr@{k}"]),
        four(line["llm_ndcg"]),
        four(line["llm_weight"]),
        *(four(line.get(f"{name}@{k}")) for name in ("coverage", "overlap", "most_shown", "long_tail")),
        f"{line['train_minutes']:.1f}",
        f"{line['peak_mb']:,.0f}",
        *(_of_new(line, k) if "new_items" in table["lists"] else []),
    ]


def _of_new(line: dict[str, Any], k: int) -> list[str]:
    alone = line.get("among_new")
    found = [DASH, DASH] if alone is None else [four(alone[f"ndcg@{alone['k']}"]), gap(alone["vs_retriever"], "ndcg")]
    return [*found, *(four(line.get(f"{name}@{k}")) for name in ("new", "new_hits"))]


def _notes(table: dict[str, Any]) -> tuple[str, ...]:
    """What a reader must know."""
    new, marked = table["lists"].get("new_items"), footnotes(table["lists"].get("doubtful", {}))
    if new is None:
        return (*NOTES, *marked)
    share = f"{new['share_of_targets']:.0%}" if new["share_of_targets"] is not None else "none"
    return (
        *NOTES,
        *marked,
        f"{new['items']:,} items are new: nobody met them in train or valid, and they are {share} of what is to be "
        "found. New among new: NDCG where these alone are ranked. New in the list, new among hits: their share of the "
        "places and of what was found.",
    )
