"""The server as a deployment of Ray Serve: replicas of the whole application behind Ray's proxy."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from ccf_llm.distributed.cluster import Watch, share, work_in
from ccf_llm.errors import CCFError, one_line
from ccf_llm.serving.app import create_app
from ccf_llm.serving.process import prepare
from ccf_llm.serving.service import Service
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.serving.store import EventStore

NAME = "ccf-llm"
QUIET = {"enable_access_log": False, "log_level": "ERROR"}
"""Ray's own logs: the ids in addresses are personal data that an erasure could not reach."""
EXEMPT = 16
"""Requests beside those that the application counts: of its health and its metrics."""
BUSY = 4
"""Requests under way in a replica, on average, from which on another one is started."""


@dataclass(frozen=True)
class Replicas:
    """How many there are, and where they are reached."""

    least: int
    most: int
    """So many are started under load; `least` where their number is not to change."""
    host: str
    port: int


def serve_on_ray(
    cluster: Watch,
    model: Path,
    store: str,
    settings: ServeSettings,
    replicas: Replicas,
    ready: Callable[[], None],
) -> None:
    """Serve a model until this process is told to end (SIGINT or SIGTERM); then the deployment goes too.

    Args:
        cluster: the connection to Ray.
        model: folder of a model or a run, at the same place on every machine of the cluster.
        store: URL of the event store; PostgreSQL where there may be several replicas.
        settings: limits, of each replica.
        replicas: how many, behind the proxy of Ray.
        ready: called once requests are answered.

    Raises:
        CCFError: a replica does not start, and why.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    http = {"host": replicas.host, "port": replicas.port}
    serve.start(proxy_location="HeadOnly", http_options=http, logging_config=QUIET)
    scale: dict[str, object] = {"num_replicas": replicas.least}
    if replicas.most > replicas.least:
        bounds = {"min_replicas": replicas.least, "max_replicas": replicas.most, "target_ongoing_requests": BUSY}
        scale = {"autoscaling_config": bounds}
    deployment = serve.deployment(
        serve.ingress(_builder(model, store, settings, Path.cwd()))(),
        name=NAME,
        max_ongoing_requests=settings.in_flight + EXEMPT,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=10,
        logging_config=QUIET,
        ray_actor_options=share(replicas.least),
        **scale,
    )
    try:
        serve.run(deployment.bind(), name=NAME, route_prefix="/")
        ready()
        while True:
            time.sleep(1)
    except RuntimeError as error:
        raise CCFError(_why(error)) from None
    except (KeyboardInterrupt, SystemExit):  # Ray makes the latter of SIGTERM
        if cluster.gone:
            raise
    finally:
        if not cluster.gone:
            serve.delete(NAME)


def _builder(model: Path, store: str, settings: ServeSettings, folder: Path) -> Callable[[], FastAPI]:
    def build() -> FastAPI:
        prepare()
        work_in(folder)
        return create_app(Service(model, EventStore(store), settings))

    return build


def _why(error: RuntimeError) -> str:
    """The line of ours in a replica's traceback, else Ray's first."""
    marks = [line.partition("CCFError: ")[2] for line in str(error).splitlines() if "CCFError: " in line]
    return marks[-1] if marks else f"--engine ray: {one_line(error)}"
