"""`ccf-llm compare`: every row of a configuration, for several seeds, in one table."""

from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.cli.train import Set
from ccf_llm.errors import CCFError


def compare(
    config: Annotated[Path, typer.Argument(help="A run's .yaml or .toml file; configs/ holds commented examples.")],
    overrides: Set = None,
    seeds: Annotated[str, typer.Option(help="Seeds of training, with commas.")] = "0,1,2",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ROW", help="Train and measure this row only; may be repeated. The table has all rows."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where results and table are kept; OUTPUT/comparison if absent."),
    ] = None,
    part: Annotated[str, typer.Option(help="valid or test. Choose on valid; test is for the final figure.")] = "test",
) -> None:
    """Train and measure every row for every seed, and write one table of all: table.json, .md, .html and plots.

    What has a result of these settings is not run again, so the same command goes on after a stop, and regenerates the
    table where all is there. To run a row anew, delete its file in the results folder.

    The small one: [bold]ccf-llm compare configs/compare-ml-100k.yaml[/bold]

    One row, one seed: [bold]ccf-llm compare configs/compare-ml-100k.yaml --only tallrec --seeds 0[/bold]
    """
    from ccf_llm.experiments.config import load_config

    if part not in ("valid", "test"):
        raise CCFError(f"--part {part}: choose valid or test")
    settings = load_config(config, overrides)  # first: a fault is named before torch is loaded
    from ccf_llm.cli.progress import Bars
    from ccf_llm.experiments.compare import compare_run

    with Bars() as bars:
        store = compare_run(
            settings,
            seeds=_seeds(seeds),
            only=only or (),
            results=results,
            part=part,  # type: ignore[arg-type]
            say=bars.say,
            report=bars.stage,
            scoring=bars.scoring,
        )
    typer.echo(f"table: {store.table('.html').resolve()}")


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise CCFError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2")
    return list(dict.fromkeys(int(word) for word in words))
