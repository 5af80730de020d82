"""Ray itself: a cluster that is found at an address or started on this machine, and one line for what goes wrong."""

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError, one_line

GONE_SECONDS = 30.0
"""How long a cluster may be silent before it counts as lost; Ray itself would end the process, later and in silence."""
LOST = "the Ray cluster is lost: {reason}; start it again (`ray start --head`) and run the same command"
NO_CLUSTER = "start a cluster by `ray start --head` (RAY_AUTH_MODE=token here if it asks for tokens), or leave it out"
TRIES = 3
"""How often a Ray of one's own is started where it is too slow for itself."""
SLOW = "timed out during startup"
"""What Ray says where it gives up on itself."""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
# Only where nobody has set them: no figures to Ray's makers, no lines of its own, graphics cards as they are.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def require_ray() -> None:
    """A `CCFError` where Ray is not installed."""
    found = find_spec("ray")
    if found is None or found.origin is None:  # to `python -m` any folder `ray` is a package
        raise CCFError("--engine ray: ray is not installed; pip install 'ccf-llm[ray]'")


@contextmanager
def connected(address: str | None = None, cpus: int | None = None) -> Iterator["Watch"]:
    """Ray for what is done inside, from the main thread; a connection that there is already is used, and stays.

    Args:
        address: HOST:PORT of a cluster that this machine belongs to, or `auto`. None: what RAY_ADDRESS names, else a
            Ray of its own that ends with the connection.
        cpus: how many Ray counts where it is started here (default: those of the machine).

    Raises:
        CCFError: Ray is not installed, nothing answers at the address, or the cluster is lost on the way.
    """
    require_ray()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    own = not ray.is_initialized()
    if own:
        _connect(address or os.environ.get("RAY_ADDRESS") or "local", cpus)
    watch = Watch(ray.get_runtime_context().gcs_address)
    try:
        yield watch
    except KeyboardInterrupt:
        if watch.gone:
            raise CCFError(LOST.format(reason=f"{watch.address} is silent")) from None
        raise
    except ray.exceptions.RaySystemError as error:
        raise CCFError(LOST.format(reason=one_line(error))) from None
    finally:
        watch.end()
        if own and not watch.gone:
            ray.shutdown()


def share(workers: int) -> dict[str, float]:
    """What each of so many workers asks of the cluster: one core, and its part of the graphics cards.

    Raises `CCFError` where the cluster has fewer cores than workers, for which Ray would wait without an end.
    """
    import ray

    there = ray.cluster_resources()
    check_cores(workers, int(there.get("CPU", 0)))
    return {"num_cpus": 1, "num_gpus": min(1.0, 1000 * there.get("GPU", 0) // workers / 1000)}


def check_cores(workers: int, cores: int) -> None:
    """A `CCFError` where a cluster of so many cores has not one for each worker."""
    if workers > cores:
        raise CCFError(f"{workers} workers: the Ray cluster counts {cores} cores; ask for at most so many")


def work_in(folder: str | Path) -> None:
    """Make a worker run in the folder of the command: paths in a run's settings are meant from there.

    Raises `CCFError` where the worker's machine has no such folder.
    """
    try:
        os.chdir(folder)
    except OSError:
        raise CCFError(f"{folder}: not on every machine of the cluster; work in a shared folder") from None


def _connect(address: str, cpus: int | None) -> None:
    import ray

    if ":" in address:
        _check_answers(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address == "local":
            _start(cpus)
        else:
            ray.init(address=address, **QUIET)
    except Exception as error:  # Ray raises whatever it comes upon
        ray.shutdown()
        raise CCFError(f"--address {address}: Ray: {one_line(error)}; {NO_CLUSTER}") from None


def _start(cpus: int | None) -> None:
    """A Ray of its own: what is too slow for its half minute when it is first read is quick after that."""
    import ray

    for left in reversed(range(TRIES)):
        try:
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **QUIET)
            return
        except Exception as error:
            _end_what_was_begun(error)
            if SLOW not in str(error) or not left:
                raise


def _end_what_was_begun(error: Exception) -> None:
    """End the processes of a start that Ray gave up on: only the frames that it failed in still know of them."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        end = getattr(frame.f_locals.get("self"), "kill_all_processes", None)
        if end is not None:
            end(check_alive=False, allow_graceful=False)


def _check_answers(address: str) -> None:
    """`CCFError` where nobody listens at HOST:PORT: Ray would try for two minutes, and end the process."""
    host, _, port = address.rpartition(":")
    if "/" in address or not port.isdecimal():
        raise CCFError(f"--address {address}: not HOST:PORT; {NO_CLUSTER}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise CCFError(f"--address {address}: nothing answers there ({one_line(error)}); {NO_CLUSTER}") from None


class Watch:
    """A thread that interrupts the main one where nobody has listened at a cluster's address for `GONE_SECONDS`."""

    def __init__(self, address: str) -> None:
        self.address, self.gone = address, False
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="ray-watch", daemon=True).start()

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()

    def _run(self) -> None:
        host, _, port = self.address.rpartition(":")
        heard = time.monotonic()
        while not self._ended.wait(min(2.0, GONE_SECONDS / 4)):
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
                heard = time.monotonic()
            except OSError:
                self.gone = time.monotonic() - heard > GONE_SECONDS
            if self.gone:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
