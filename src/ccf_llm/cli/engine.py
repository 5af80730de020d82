"""The options of commands that can leave their work to Ray."""

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from ccf_llm.distributed.cluster import require_ray
from ccf_llm.errors import CCFError

PANEL = "On more than one process"
Engine = Annotated[
    str | None,
    typer.Option(help="ray: by workers of a Ray cluster. Left out: by this process.", rich_help_panel=PANEL),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="With --engine ray: processes that hold the model, one core each; default 2.", rich_help_panel=PANEL
    ),
]
WORKERS = 2
"""Where nobody says."""
Address = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: HOST:PORT of the cluster that this machine is in, or auto. Left out: RAY_ADDRESS, "
        "else a Ray of its own.",
        rich_help_panel=PANEL,
    ),
]


def check_engine(engine: str | None, beside: Mapping[str, object]) -> None:
    """A `CCFError` for another engine, for options (by name) that are given without it, and where Ray is missing."""
    if engine not in (None, "ray"):
        raise CCFError(f"--engine {engine}: choose ray, or leave it out")
    for option, value in beside.items():
        if value is not None and engine is None:
            raise CCFError(f"{option} has no meaning without --engine ray; give both or neither")
    if engine is not None:
        require_ray()


def check_alone(command: str) -> None:
    """A `CCFError` where torchrun or the like has started several processes, each of which would do the whole work."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise CCFError(
            f"{command}: works in one process, and {processes} were started together (WORLD_SIZE); only `train` shares "
            f"its work, so give `ccf-llm {command}` by itself, without torchrun or accelerate launch"
        )
