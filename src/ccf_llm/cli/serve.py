"""`ccf-llm serve`: the HTTP server with its page."""

from pathlib import Path
from typing import Annotated

import typer

from ccf_llm.errors import CCFError


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a model.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    store: Annotated[
        str | None, typer.Option(help="URL of the event store; default: SQLite in or beside the folder.", metavar="URL")
    ] = None,
    retrieve: Annotated[int, typer.Option(min=1, max=200, help="How many of CF's best are re-ranked.")] = 20,
    deadline: Annotated[
        int, typer.Option(min=10, max=60_000, help="Milliseconds until the CF answer is given.")
    ] = 1500,
    waiting: Annotated[int, typer.Option(min=1, help="Most requests that wait for the language model.")] = 64,
) -> None:
    """Serve recommendations over HTTP, with a page at / and the API's documentation at /docs.

    The demo: [bold]ccf-llm serve runs/demo --port 8000[/bold]

    Keys come from the environment: CCF_LLM_API_KEYS (between commas) and CCF_LLM_ADMIN_KEY.
    """
    import logging
    import socket
    import sys

    import uvicorn

    from ccf_llm.serving.app import create_app
    from ccf_llm.serving.served import model_folder
    from ccf_llm.serving.service import Service
    from ccf_llm.serving.settings import ServeSettings
    from ccf_llm.serving.store import EventStore

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = ServeSettings.with_keys_of(retrieve=retrieve, deadline_ms=deadline, waiting=waiting)
    model_folder(model)  # said before anything is made beside it
    try:
        with socket.create_server((host, port)):  # said before a model is loaded for nothing
            pass
    except OSError as error:
        raise CCFError(f"--port {port}: {error.strerror or error} on {host}; choose another --port or --host") from None
    service = Service(model, EventStore(store or f"sqlite:///{_beside(model)}"), settings)
    # Threads that compute would hold up the one that answers for 5 ms at a time.
    sys.setswitchinterval(0.001)
    typer.echo(
        f"page: http://{host}:{port}/   API: http://{host}:{port}/docs   model: {service.served.version}", err=True
    )
    # No access log: the ids in addresses are personal data that an erasure could not reach.
    uvicorn.run(
        create_app(service), host=host, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=10
    )


def _beside(model: Path) -> Path:
    """In the folder of a run; beside that of a model, which a new one would replace."""
    name = "events.sqlite"
    resolved = model.resolve()
    return resolved.with_name(f"{resolved.name}-{name}") if (model / "config.json").is_file() else resolved / name
