"""`ccf-llm update`: a trained model kept up with data that have grown."""

from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.errors import CCFError


def update(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    data: Annotated[
        str, typer.Argument(help="All interactions, users and items as they are now: a data set's folder.")
    ],
    part: Annotated[str, typer.Option(help="Measure before and after on valid or test of the new data.")] = "test",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")
    ] = None,
) -> None:
    """Take new interactions, users and items into a run's main model, without training the language model.

    Example: [bold]ccf-llm update runs/books data/books-now[/bold]

    The model before it is kept in the run's folder before/.
    """
    if part not in ("valid", "test"):
        raise CCFError(f"--part {part}: choose valid or test")
    from ccf_llm.cli.evaluate import print_figures
    from ccf_llm.cli.progress import Bars
    from ccf_llm.experiments.folder import RunFolder
    from ccf_llm.experiments.update import update_run
    from ccf_llm.io.files import write_json

    with Bars() as bars:
        figures = update_run(RunFolder(run), data, part=part, say=bars.say)  # type: ignore[arg-type]
    if json_file is not None:
        write_json(json_file, figures)
    print_figures(figures)
