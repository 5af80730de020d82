"""A real `ccf-llm serve` in a process of its own, to be asked, loaded and killed, and a client that costs little."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

START_SECONDS = 300


class LightClient:
    """One connection that is kept open, over the standard library.

    A comfortable client takes milliseconds of processor time for a request. Where hundreds of them share two cores with
    the server, they would be what is measured.
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 60) -> None:
        """Connects with the first request."""
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=timeout)
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers (lower case); `OSError` or `HTTPException` where there is no answer.

        A body that is no JSON, such as a proxy's, is given as text.
        """
        try:
            text = None if body is None else json.dumps(body)
            self._connection.request(method, path, text, self._headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request connects anew
            raise
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            return response.status, json.loads(answer), headers
        except ValueError:
            return response.status, answer.decode(errors="replace"), headers

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


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
        self.port = free_port()
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
            client = LightClient(self.url, timeout=5)
            try:
                if client.ask("GET", "/readyz")[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            finally:
                client.close()
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
        return self._process.wait(timeout=START_SECONDS)

    def __enter__(self) -> Self:
        """The server, ready."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.stop()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
