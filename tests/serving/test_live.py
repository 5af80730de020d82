"""A real server in a process of its own."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from live import LiveServer

KILL = Path(__file__).parents[2] / "benchmarks" / "serving" / "kill.py"
LOAD = KILL.with_name("load.py")
LONG = KILL.with_name("long.py")


def test_ids_travel_in_paths(live: LiveServer) -> None:
    for user in ["%00x", "a/b/similar", "Ömer 🎬", "two\nlines", "+ &=#"]:
        event = {"key": f"key of {user}", "user_id": user, "item_id": "i1", "kind": "like"}
        assert httpx.post(f"{live.url}/v1/events", json=event).status_code == 201
        address = f"{live.url}/v1/users/{quote(user, safe='')}"
        assert len(httpx.get(address).json()["likes"]) == 1
        assert httpx.delete(address).json() == {"events": 1}


def test_a_reload_drops_no_request(live: LiveServer) -> None:
    statuses: list[int] = []
    swapped = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=live.url, timeout=30) as client:
            while not swapped.is_set():
                answer = client.post("/v1/recommend", json={"history": ["i1"], "order": "fused", "deadline_ms": 20_000})
                statuses.append(answer.status_code if not answer.json()["degraded"] else -1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    reloaded = [
        httpx.post(f"{live.url}/v1/admin/reload", headers={"X-API-Key": "the-admin"}, timeout=60) for _ in range(2)
    ]
    swapped.set()
    for thread in threads:
        thread.join()
    assert [response.status_code for response in reloaded] == [200, 200]
    assert len(statuses) >= 4
    assert set(statuses) == {200}


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(served_model: Path, store_url: str, tmp_path: Path) -> None:
    command = [sys.executable, str(KILL), str(served_model), "--events", "1500", "--kills", "2", "--store", store_url]
    run = subprocess.run([*command, "--json", str(tmp_path / "kill.json")], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads((tmp_path / "kill.json").read_text())
    assert (figures["acknowledged"], figures["stored"], figures["lost"], figures["doubled"]) == (1500, 1500, 0, 0)
    assert figures["failures"] == []


@pytest.mark.slow
def test_people_come_and_go_while_the_model_is_reloaded(served_model: Path, tmp_path: Path) -> None:
    """Memory is another matter: of so few seconds it says nothing."""
    how = {"--minutes": 0.1, "--warm-up": 0.02, "--pause": 0.1, "--reload": 0.03, "--people": 3}
    options = [str(part) for pair in how.items() for part in pair]
    command = [sys.executable, str(LONG), str(served_model), *options, "--json", str(tmp_path / "long.json")]
    run = subprocess.run(command, capture_output=True, text=True)
    figures = json.loads((tmp_path / "long.json").read_text())
    assert (figures["errors"], figures["tracebacks"]) == (0, 0), run.stdout + run.stderr
    assert min(figures[name] for name in ("requests", "events", "erased", "reloads")) > 0
    assert len(figures["memory_mb"]) == len(figures["minutes"]) > 10


def test_load_is_answered_in_time_or_refused(live: LiveServer, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(LOAD),
        "--url",
        live.url,
        "--clients",
        "48",
        "--seconds",
        "4",
        "--deadline-ms",
        "500",
    ]
    out = tmp_path / "load.json"
    subprocess.run([*command, "--pid", str(live.pid), "--json", str(out)], check=True, capture_output=True)
    figures = json.loads(out.read_text())
    assert figures["requests"] > 48
    assert figures["errors"] == 0
    assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert {"degraded", "rejected", "late", "machine", "memory_mb"} <= figures.keys()


@pytest.mark.slow
def test_schemathesis_finds_no_failure(live: LiveServer, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{live.url}/openapi.json",
        "--checks",
        "all",
    ]
    options = ["--max-examples", "15", "--seed", "1", "--header", "X-API-Key: the-admin", "--no-color"]
    # It leaves a folder where it runs.
    run = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-6000:]


def test_it_ends_when_asked(served_model: Path, tmp_path: Path) -> None:
    server = LiveServer(served_model, "--store", f"sqlite:///{tmp_path}/events.sqlite", log=tmp_path / "log")
    server.start()
    httpx.post(f"{server.url}/v1/events", json={"key": "1", "user_id": "u", "item_id": "i1", "kind": "like"})
    server.stop()
    log = (tmp_path / "log").read_text()
    assert "Finished server process" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{tmp}/nothing"], "not the folder of a run (no config.yaml)"),
        (["{model}", "--store", "mysql://x/y"], "--store: mysql is not supported"),
        (["{model}", "--port", "{taken}"], "choose another --port or --host"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    options: list[str], message: str, served_model: Path, live: LiveServer, tmp_path: Path
) -> None:
    words = {"tmp": str(tmp_path), "model": str(served_model), "taken": str(live.port)}
    command = [str(Path(sys.executable).with_name("ccf-llm")), "serve", *(option.format(**words) for option in options)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
