"""`ccf-llm train`: a configuration in, trained methods out."""

from pathlib import Path
from typing import Annotated

import typer

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the file; may be repeated.")
]


def train(
    config: Annotated[Path, typer.Argument(help="A run's .yaml or .toml file; configs/ holds commented examples.")],
    overrides: Set = None,
    only: Annotated[str | None, typer.Option(help="Train this method, and what it starts from.")] = None,
) -> None:
    """Fit the CF models and train every method of a run.

    A run that was stopped goes on where it was: give the same command again.

    The demo: [bold]ccf-llm train configs/demo.yaml[/bold]

    Another seed: [bold]ccf-llm train configs/demo.yaml --set seed=1 --set output=runs/demo-1[/bold]
    """
    from ccf_llm.experiments.config import load_config

    settings = load_config(config, overrides)  # first: a fault is named before torch is loaded
    from ccf_llm.cli.progress import Bars
    from ccf_llm.experiments.train import train_run

    with Bars() as bars:
        train_run(settings, only=only, say=bars.say, report=bars.stage)
