"""What the tables of both tasks' comparisons share: cells in words, and Markdown."""

from collections.abc import Sequence
from typing import Any

from ccf_llm.reports.page import DASH, signed

Line = tuple[dict[str, Any], list[str]]
"""A row of the table, and its cells in words."""


def markdown(heads: Sequence[str], lines: Sequence[Line], chosen: Sequence[int]) -> str:
    """Some columns as Markdown, by their places; the first is the method, ours in bold."""
    body = [f"| {' | '.join(heads[k] for k in chosen)} |", "|---" * len(chosen) + "|"]
    for line, cells in lines:
        name, *rest = (cells[k].replace("|", r"\|") for k in chosen)
        body.append(f"| {' | '.join([f'**{name}**' if line['ours'] else name, *rest])} |")
    return "\n".join(body)


def page_of_table(about: str, table: str, notes: Sequence[str], missing: Sequence[str]) -> str:
    """A table in Markdown with what a reader must know, and what was not run."""
    not_run = f"\nNot run: {'; '.join(missing)}.\n" if missing else ""
    return "\n".join([f"{about}\n", table, "", *(f"{note}\n" for note in notes)]) + not_run


def four(value: float | None) -> str:
    """Four decimals, or a dash."""
    return DASH if value is None else f"{value:.4f}"


def gap(differences: dict[str, list[float | None]] | None, key: str) -> str:
    """`+0.012 (+0.002 to +0.022)` of `{key: [difference, low, high]}`, or a dash."""
    if differences is None:
        return DASH
    difference, low, high = differences[key]
    return f"{signed(difference)} ({signed(low)} to {signed(high)})"
