"""`ccf-llm serve`: what it opens, what it closes, and what it needs."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ccf_llm.cli import main
from ccf_llm.cli.serve import _is_loopback, beside
from ccf_llm.serving.settings import API_KEYS
from ccf_llm.serving.store import Event, EventStore
from live import free_port

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["lr-5e-4?", "lr-5e-4?b", "a#b", "50%20", "a b", "Ömer's", "plain"])
def test_every_folder_has_a_store_of_its_own(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path / name, tmp_path / f"{name}b"):
        folder.mkdir()
        with EventStore(beside(folder)) as store:
            assert store.record([Event("key", "u", "i", "like")]) == ["recorded"]
        assert [path.name for path in folder.iterdir()] == ["events.sqlite"]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_store_of_a_model_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "m?").mkdir()
    (tmp_path / "m?" / "config.json").write_text("{}")
    with EventStore(beside(tmp_path / "m?")):
        assert (tmp_path / "m?-events.sqlite").is_file()
    assert [path.name for path in (tmp_path / "m?").iterdir()] == ["config.json"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_an_address_of_this_machine_alone(host: str) -> None:
    assert _is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.7", "2001:db8::1"])
def test_an_address_that_others_reach(host: str) -> None:
    assert not _is_loopback(host)


def served_app(monkeypatch: pytest.MonkeyPatch, model: Path, store: Path, host: str) -> FastAPI:
    """The application that the command hands to the server."""
    started: list[tuple[FastAPI, dict[str, Any]]] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **options: started.append((app, options)))
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    options = ["--host", host, "--port", str(free_port()), "--store", f"sqlite:///{store}"]
    monkeypatch.setattr(sys, "argv", ["ccf-llm", "serve", str(model), *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    ((app, how),) = started
    assert (how["host"], how["access_log"]) == (host, False)
    return app


@pytest.mark.parametrize(
    ("host", "keys", "status"),
    [("0.0.0.0", "", 403), ("0.0.0.0", "one,two", 200), ("127.0.0.1", "", 200), ("127.0.0.1", "one,two", 200)],
)
def test_where_others_reach_it_without_keys_nobody_is_erased(
    host: str,
    keys: str,
    status: int,
    served_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setenv(API_KEYS, keys)
    app = served_app(monkeypatch, served_model, tmp_path / "events.sqlite", host)
    said = capsys.readouterr().err.splitlines()
    warnings = [line for line in said if line.startswith("warning: ")]
    with TestClient(app, headers={"X-API-Key": "one"}) as client:
        event = {"key": "1", "user_id": "u", "item_id": "i1", "kind": "like"}
        assert client.post("/v1/events", json=event).status_code == 201
        answer = client.delete("/v1/users/u")
        left = client.get("/v1/users/u").json()["likes"]
    assert answer.status_code == status
    if status == 403:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "CCF_LLM_API_KEYS" in answer.json()["detail"]
        assert len(warnings) == len(left) == 1
        assert "--host 0.0.0.0" in warnings[0]
        assert "CCF_LLM_API_KEYS" in warnings[0]
    else:
        assert answer.json() == {"events": 1}
        assert warnings == left == []


def test_help_says_what_is_closed(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["ccf-llm", "serve", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "Erasing people is closed" in capsys.readouterr().out


def only_of_the_extra() -> set[str]:
    """Modules that nothing but the extra installs."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {name.split(">")[0].replace("-", "_") for name in wanted["serve"]} | {"starlette"}


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_nothing_but_the_server_imports_what_only_its_extra_installs() -> None:
    package = ROOT / "src" / "ccf_llm"
    users = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if {name.partition(".")[0] for name in imports_of(path)} & only_of_the_extra() and path.name != "serve.py"
    }
    assert users == {"serving"}
    callers = [path for path in package.rglob("*.py") if any("ccf_llm.serving" in name for name in imports_of(path))]
    others = sorted(f"{path.parent.name}/{path.name}" for path in callers if path.parent.name != "serving")
    assert others == ["cli/data.py", "cli/serve.py", "distributed/serve.py"]


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()))
from ccf_llm.cli import main
main()
"""


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, " ".join(only_of_the_extra()), "serve", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert run.stderr == "error: serve: uvicorn is not installed; pip install 'ccf-llm[serve]'\n"
