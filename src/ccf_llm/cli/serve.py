"""`ccf-llm serve`: the HTTP server with its page."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ccf_llm.cli.engine import PANEL, WORKERS, Address, Engine, check_engine
from ccf_llm.errors import CCFError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ccf_llm.distributed.serve import Replicas


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a trained run, or of a model.")],
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 or :: for all. Erasing people is closed where others can reach it "
            "and no keys are set."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    store: Annotated[
        str | None, typer.Option(help="URL of the event store; default: SQLite in or beside the folder.", metavar="URL")
    ] = None,
    retrieve: Annotated[int, typer.Option(min=1, max=200, help="How many of CF's best are re-ranked.")] = 20,
    deadline: Annotated[
        int, typer.Option(min=10, max=60_000, help="Milliseconds until the CF answer is given.")
    ] = 1500,
    waiting: Annotated[int, typer.Option(min=1, help="Most requests that wait for the language model.")] = 64,
    engine: Engine = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --engine ray: processes that hold the model, one core each; default 2. More than one need a "
            "--store of PostgreSQL.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    most_replicas: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --engine ray: under load up to so many; default: --replicas.", rich_help_panel=PANEL
        ),
    ] = None,
    address: Address = None,
) -> None:
    """Serve recommendations over HTTP, with a page at / and the API's documentation at /docs.

    The demo: [bold]ccf-llm serve runs/demo --port 8000[/bold]

    Keys come from the environment: CCF_LLM_API_KEYS (between commas) and CCF_LLM_ADMIN_KEY.
    """
    import logging
    import socket

    from ccf_llm.serving.process import prepare

    prepare()
    require_server()
    check_engine(engine, {"--replicas": replicas, "--most-replicas": most_replicas, "--address": address})
    import uvicorn

    from ccf_llm.experiments.folder import model_folder
    from ccf_llm.serving.settings import ServeSettings
    from ccf_llm.serving.store import EventStore

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = ServeSettings.with_keys_of(
        retrieve=retrieve, deadline_ms=deadline, waiting=waiting, public=not _is_loopback(host)
    )
    model_folder(model)  # said before anything is made beside it
    try:
        # Said before a model is loaded for nothing.
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise CCFError(f"--port {port}: {error.strerror or error} on {host}; choose another --port or --host") from None
    if not settings.may_erase:
        typer.echo(
            f"warning: --host {host}: others can reach this port and no keys are set, so that anybody may read and "
            "add likes, and erasing is closed; set CCF_LLM_API_KEYS",
            err=True,
        )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    many = None if engine is None else _replicas(replicas, most_replicas, store, (host, port))
    events = EventStore(store or beside(model))
    if many is not None:
        from ccf_llm.distributed.cluster import connected
        from ccf_llm.distributed.serve import serve_on_ray

        events.close()
        with connected(address, cpus=many.most) as cluster:
            ready = partial(typer.echo, f"page: {url}/   API: {url}/docs   replicas: {many.least}", err=True)
            serve_on_ray(cluster, model, events.url, settings, many, ready)
        return
    # Only now what takes seconds to import.
    from ccf_llm.serving.app import create_app
    from ccf_llm.serving.service import Service

    service = Service(model, events, settings)
    typer.echo(f"page: {url}/   API: {url}/docs   model: {service.served.version}", err=True)
    # No access log: the ids in addresses are personal data that an erasure could not reach.
    uvicorn.run(
        create_app(service), host=host, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=10
    )


def _replicas(least: int | None, most: int | None, store: str | None, address: tuple[str, int]) -> "Replicas":
    """How many; a `CCFError` where they could not have the store in common."""
    least = least or min(WORKERS, most or WORKERS)
    most = most or least
    if most < least:
        raise CCFError(f"--most-replicas {most}: fewer than --replicas {least}; give at least as many")
    if most > 1 and (store or "sqlite").startswith("sqlite"):
        raise CCFError(
            "--store: replicas need a store that all of them reach, and SQLite is a file; give --store "
            "postgresql+psycopg://user@host/database, or --replicas 1"
        )
    from ccf_llm.distributed.serve import Replicas

    return Replicas(least, most, *address)


def require_server() -> None:
    """A `CCFError` where a package of the extra is not installed."""
    from importlib.util import find_spec

    for package in ("uvicorn", "fastapi", "fastapi_offline", "prometheus_client", "sqlalchemy"):
        if find_spec(package) is None:
            raise CCFError(f"serve: {package} is not installed; pip install 'ccf-llm[serve]'")


def beside(model: Path) -> "URL":
    """SQLite's file in the folder of a run; beside that of a model, which a new one would replace."""
    from sqlalchemy import URL

    name = "events.sqlite"
    resolved = model.resolve()
    is_model = (model / "config.json").is_file()
    path = resolved.with_name(f"{resolved.name}-{name}") if is_model else resolved / name
    # Put together, not written out: a folder's name may hold what has a meaning in a URL.
    return URL.create("sqlite", database=str(path))


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there; False for a name that is not known."""
    import ipaddress
    import socket

    try:
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None)} if host else set()
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
