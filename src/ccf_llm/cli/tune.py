"""`ccf-llm tune`: a search of settings, within a time."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.cli.engine import check_alone
from ccf_llm.cli.train import Set
from ccf_llm.errors import CCFError


def tune(
    config: Annotated[
        Path, typer.Argument(help="A run's .yaml or .toml file; its `tune` may state what to choose from.")
    ],
    overrides: Set = None,
    method: Annotated[
        str | None, typer.Option(help="The method whose settings are searched; else the main one.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="End after so many; the same command goes on.")] = 60.0,
    trials: Annotated[int | None, typer.Option(help="End after so many trials in all.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write the best configuration.")
    ] = None,
) -> None:
    """Search a method's settings by valid; print the best as --set flags, and write the configuration that has them.

    Example: [bold]ccf-llm tune configs/demo.yaml --minutes 120[/bold]

    It needs the extra tune, and never reads test.
    """
    from ccf_llm.experiments.config import dump_config, load_config, with_settings

    check_alone("tune")
    settings = load_config(config, overrides)
    if minutes <= 0 or (trials is not None and trials < 1):
        raise CCFError("--minutes and --trials: give numbers above 0")
    output = output or config.with_name(f"{config.stem}-tuned.yaml")
    if output.resolve() == config.resolve():
        raise CCFError(f"--output {output}: is the configuration itself; choose another file")
    from ccf_llm.cli.progress import Bars
    from ccf_llm.io.files import write_text

    try:
        from ccf_llm.experiments.tune import as_flags, tune
    except ImportError as error:
        if error.name != "optuna":
            raise
        raise CCFError("tune: optuna is not installed; pip install 'ccf-llm[tune]'") from None
    with Bars() as bars:
        found = tune(
            settings, method or settings.main, seconds=60 * minutes, trials=trials, say=bars.say, report=bars.stage
        )
    best = with_settings(settings, found.settings)
    write_text(output, dump_config(best.model_copy(update={"tune": {}})))
    typer.echo(f"valid {found.value:.4f}, the best of {found.trials} trials, in {output}:")
    typer.echo(f"ccf-llm train {shlex.quote(str(config))} {' '.join(as_flags(found.settings))}")
