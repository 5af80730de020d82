"""The reference of the command line, by Typer's own generator."""

import re

import typer
from typer.cli import get_docs_for_click

from ccf_llm.cli import app


def command_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=command.make_context("ccf-llm", ["doctor"]), name="ccf-llm", title="Commands"
    )
    return re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", text)
