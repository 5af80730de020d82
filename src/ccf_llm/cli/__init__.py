"""The command `ccf-llm`. One file per command; heavy imports stand inside the functions, so that --help is quick."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from ccf_llm.cli import bench, data
from ccf_llm.cli.compare import compare
from ccf_llm.cli.doctor import doctor
from ccf_llm.cli.evaluate import evaluate
from ccf_llm.cli.init import init
from ccf_llm.cli.recommend import recommend
from ccf_llm.cli.report import report
from ccf_llm.cli.serve import serve
from ccf_llm.cli.train import train
from ccf_llm.cli.tune import tune
from ccf_llm.cli.update import update
from ccf_llm.errors import CCFError

app = typer.Typer(
    name="ccf-llm",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
for command in (init, train, tune, update, evaluate, compare, recommend, serve, report, doctor):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ccf-llm {version('ccf-llm')}")
        raise typer.Exit


@app.callback()
def _about(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Recommendation with a language model that reads both the words and the collaborative signal.

    Start with [bold]ccf-llm doctor[/bold], then [bold]ccf-llm data fetch ml-100k[/bold].
    """


def main() -> None:
    """Run the command line. Bad input ends it with one line on standard error and exit code 2."""
    try:
        app(args=[_at_home(word) for word in sys.argv[1:]])
    except CCFError as error:
        print("error:", error, file=sys.stderr)
        sys.exit(2)


def _at_home(word: str) -> str:
    """`--results=~/x` with the home folder written out; a shell does so only where a word begins with it."""
    option, equals, value = word.partition("=")
    return f"{option}={os.path.expanduser(value)}" if equals and option.startswith("-") and value[:2] == "~/" else word
