"""`ccf-llm report`: the page of a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="Folder of an evaluated run.")]) -> None:
    """Write the run's report.html: what was asked, table, training curves, slices, the gate, recommendations.

    Example: [bold]ccf-llm report runs/demo[/bold]
    """
    from ccf_llm.experiments.folder import RunFolder
    from ccf_llm.experiments.report import report_run

    typer.echo(f"report: {report_run(RunFolder(run)).resolve()}")
