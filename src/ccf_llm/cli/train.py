"""`ccf-llm train`: a configuration in, trained methods out."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.cli.engine import PANEL, WORKERS, Address, Engine, check_engine

Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the file; may be repeated.")
]


def train(
    config: Annotated[Path, typer.Argument(help="A run's .yaml or .toml file; configs/ holds commented examples.")],
    overrides: Set = None,
    only: Annotated[str | None, typer.Option(help="Train this method, and what it starts from.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write the curves for TensorBoard.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Also write curves and configuration to this MLflow.")
    ] = None,
    engine: Engine = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="With --engine ray: processes that train together; default 2.", rich_help_panel=PANEL),
    ] = None,
    address: Address = None,
) -> None:
    """Fit the CF models and train every method of a run.

    A run that was stopped goes on where it was: give the same command again.

    The demo: [bold]ccf-llm train configs/demo.yaml[/bold]

    Another seed: [bold]ccf-llm train configs/demo.yaml --set seed=1 --set output=runs/demo-1[/bold]

    Two processes: [bold]torchrun --nproc-per-node 2 -m ccf_llm train configs/demo.yaml[/bold]
    """
    from ccf_llm.experiments.config import load_config

    check_engine(engine, {"--workers": workers, "--address": address})
    settings = load_config(config, overrides)  # first: a fault is named before torch is loaded
    from ccf_llm.cli.progress import Bars
    from ccf_llm.distributed.train import train_on_ray
    from ccf_llm.experiments.curves import curves_to
    from ccf_llm.experiments.mlflow import mlflow_run
    from ccf_llm.experiments.tensorboard import tensorboard as tensorboard_folder
    from ccf_llm.experiments.train import train_run
    from ccf_llm.training.processes import is_first, joined

    with ExitStack() as open_ones:
        open_ones.enter_context(joined(settings.llm.device))
        if not is_first():  # one of several processes writes
            tensorboard = mlflow = None
        writers = [open_ones.enter_context(tensorboard_folder(tensorboard))] if tensorboard is not None else []
        writers += [open_ones.enter_context(mlflow_run(mlflow, settings))] if mlflow is not None else []
        bars = open_ones.enter_context(Bars())
        report = curves_to(*writers, then=bars.stage)
        if engine is None:
            train_run(settings, only=only, say=bars.say, report=report)
        else:
            train_on_ray(settings, workers=workers or WORKERS, address=address, only=only, say=bars.say, report=report)
