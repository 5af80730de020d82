"""`ccf-llm compare`: every row of a configuration, for several seeds, in one table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccf_llm.cli.engine import check_alone
from ccf_llm.cli.train import Set
from ccf_llm.errors import CCFError

if TYPE_CHECKING:
    from ccf_llm.experiments.config import RunConfig


def compare(
    config: Annotated[
        Path,
        typer.Argument(help="A run's .yaml or .toml file (configs/ holds examples); with --quick also a data set."),
    ],
    overrides: Set = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Does a language model help? A small trial in some ten minutes on two cores."),
    ] = False,
    seeds: Annotated[str | None, typer.Option(help="Seeds of training, with commas.", show_default="0,1,2")] = None,
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

    Does a language model help on my data? [bold]ccf-llm compare data/books --quick[/bold]

    The small one: [bold]ccf-llm compare configs/compare-ml-100k.yaml[/bold]

    One row, one seed: [bold]ccf-llm compare configs/compare-ml-100k.yaml --only tallrec --seeds 0[/bold]
    """
    from ccf_llm.experiments.config import load_config

    check_alone("compare")
    if part not in ("valid", "test"):
        raise CCFError(f"--part {part}: choose valid or test")
    is_data = quick and config.suffix not in (".yaml", ".yml", ".toml")
    settings = _config_of_data(str(config), overrides) if is_data else load_config(config, overrides)
    from ccf_llm.cli.progress import Bars
    from ccf_llm.experiments.compare import compare_run

    if quick:
        from ccf_llm.experiments.quick import quick_config, quick_rows

        settings = quick_config(settings)
        only = only or quick_rows(settings)

    with Bars() as bars:
        store = compare_run(
            settings,
            seeds=_seeds(seeds or ("0" if quick else "0,1,2")),
            only=only or (),
            results=results,
            part=part,  # type: ignore[arg-type]
            say=bars.say,
            report=bars.stage,
            scoring=bars.scoring,
        )
    typer.echo(f"table: {store.table('.html').resolve()}")
    if quick:
        from ccf_llm.experiments.quick import answer
        from ccf_llm.io.files import read_json

        typer.echo(answer(read_json(store.table(".json"))))


def _config_of_data(data: str, overrides: list[str] | None) -> "RunConfig":
    """That which `ccf-llm init` would write."""
    from ccf_llm.data.named import open_dataset
    from ccf_llm.experiments.config import config_of
    from ccf_llm.experiments.init import Machine, draft_config

    draft = draft_config(open_dataset(data), data, Machine.here(), minutes=10)
    return config_of(draft.text, Path("draft.yaml"), overrides)


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise CCFError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2")
    return list(dict.fromkeys(int(word) for word in words))
