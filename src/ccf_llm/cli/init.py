"""`ccf-llm init`: a commented configuration that fits a data set and this machine."""

from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.cli.data import Source
from ccf_llm.cli.show import JsonOption, show
from ccf_llm.errors import CCFError


def init(
    data: Source,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = Path(
        "config.yaml"
    ),
    minutes: Annotated[float, typer.Option(help="To train and measure in, about.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Write a configuration for a data set: the task that fits, what to tell of items, and sizes for this machine.

    Example: [bold]ccf-llm init data/books -o books.yaml --minutes 20[/bold]
    """
    if output.exists():
        raise CCFError(f"{output}: is there already; name another file with --output")
    from ccf_llm.data.named import open_dataset
    from ccf_llm.experiments.init import Machine, draft_config
    from ccf_llm.io.files import write_text

    draft = draft_config(open_dataset(data), data, Machine.here(), minutes)
    write_text(output, draft.text)
    steps = {"try_first": f"ccf-llm compare {output} --quick", "train": f"ccf-llm train {output}"}
    show({"file": str(output), **draft.summary, "next": steps}, as_json=as_json)
