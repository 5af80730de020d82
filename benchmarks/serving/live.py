"""A real `ccf-llm serve` in a process of its own, to be asked, loaded and killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

START_SECONDS = 120


class LiveServer:
    """Starts the server on a free port and waits until it is ready; used as a context manager.

    Args:
        model: a model folder or a run folder.
        options: further arguments of `ccf-llm serve`.
        environment: added to this process' own.
        log: file that the server's output is appended to.
    """

    def __init__(self, model: Path, *options: str, log: Path, environment: dict[str, str] | None = None) -> None:
        """Nothing runs yet."""
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        command = str(Path(sys.executable).with_name("ccf-llm"))
        self._command = [command, "serve", str(model), "--port", str(self.port), *options]
        self._environment = os.environ | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return once it is ready; `RuntimeError` with its log where it ends instead."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"the server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """As a power cut does: SIGKILL, no warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(by)
        return self._process.wait(timeout=30)

    def __enter__(self) -> Self:
        """The server, ready."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
