"""Recommendations as the command line shows them: a table, or JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer


@dataclass(frozen=True)
class Answer:
    """What is printed."""

    title: str
    """For whom."""
    history: list[str]
    """What they like, as titles."""
    items: list[dict[str, Any]]
    reason: str | None = None
    """Why there are no items, where there are none."""

    def give(self, run: Path | None, *, as_json: bool) -> None:
        """Print it and, with a run, keep it for the run's report."""
        from ccf_llm.experiments.folder import RunFolder
        from ccf_llm.experiments.report import keep_recommendations

        if run is not None:
            keep_recommendations(RunFolder(run), self.title, self.history, self.items)
        if as_json:
            shown = {"for": self.title, "history": self.history, "items": self.items}
            shown |= {"reason": self.reason} if self.reason else {}
            typer.echo(json.dumps(shown, ensure_ascii=False))
        elif self.reason:
            typer.echo(f"Nothing to recommend for {self.title}: {self.reason}")
        else:
            _print_table(self)


def _print_table(answer: Answer) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    names = ("probability", "similarity", "score")  # people read the first of these that there is
    figure = next(name for name in names if any(item.get(name) is not None for item in answer.items))
    columns = ["rank", "title", figure]
    reasoned = any("reasons" in item for item in answer.items)
    if reasoned:
        columns += ["CF rank", "text rank", "from CF", "because of (log-odds)"]
    table = Table(title=escape(f"Recommended for {answer.title}"), min_width=60)
    for column in columns:
        table.add_column(column, justify="left" if column in ("title", "because of (log-odds)") else "right")
    for item in answer.items:
        cells = [str(item["rank"]), escape(item["title"]), f"{item[figure]:.2f}"]
        if reasoned:
            strongest = "; ".join(f"{like['liked_title']} {like['effect']:+.2f}" for like in item["reasons"][:2])
            strongest = strongest or "none of the likes raises it"
            cells += [_rank(item["cf_rank"]), _rank(item["text_rank"]), f"{item['collaborative_share']:.0%}"]
            cells.append(escape(strongest))
        table.add_row(*cells)
    Console().print(table)


def _rank(rank: int | None) -> str:
    """Not known where an index did not find the item."""
    return "-" if rank is None else str(rank)
