"""Printing results, for people or for machines."""

import json
from typing import Annotated, Any

import typer

LINES = ("notes", "warnings")
"""Lists whose entries stand on a line each."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead, for machines.")]


def show(summary: dict[str, Any], *, as_json: bool) -> None:
    """Print a nested summary to standard output as JSON or as an indented list. Texts are data, never markup."""
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False, allow_nan=False))
    else:
        typer.echo("\n".join(_lines(summary, "")))


def print_table(title: str, columns: list[str], lines: list[list[str]]) -> None:
    """Print a table, its first column a name and the others figures. Texts are data, never markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", no_wrap=not number)
    for line in lines:
        table.add_row(*map(Text, line))
    Console().print(table)


def _lines(summary: dict[str, Any], indent: str) -> list[str]:
    width = max((len(key) for key, value in summary.items() if not isinstance(value, dict)), default=0)
    lines = []
    for key, value in summary.items():
        if value == {} or (key in LINES and not value):
            continue
        if isinstance(value, dict):
            lines += [indent + key.replace("_", " "), *_lines(value, indent + "  ")]
        elif key in LINES:
            lines += [indent + key, *(f"{indent}  {line}" for line in value)]
        else:
            lines.append(f"{indent}{key.replace('_', ' '):<{width}}  {_text(value)}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value)
