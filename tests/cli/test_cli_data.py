import json
import sys
from pathlib import Path

import polars as pl
import pytest

from ccf_llm.cli import main
from ccf_llm.data.dataset import Dataset


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command as a shell would; the exit code."""
    monkeypatch.setattr(sys, "argv", ["ccf-llm", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    n = 40
    clicks = {
        "user_id": [f"u{i % 4}" for i in range(n)],
        "book": [i % 5 for i in range(n)],
        "rating": [5, 1] * (n // 2),
    }
    pl.DataFrame(clicks | {"timestamp": range(n)}).write_csv(tmp_path / "clicks.csv")
    titles = ["[red]Dune[/red]", "Emma", "Ubik", "Kim", "She"]
    pl.DataFrame({"book": range(5), "title": titles}).write_csv(tmp_path / "books.csv")
    return tmp_path


def test_import_split_and_describe(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    assert "interactions" in capsys.readouterr().out
    split = ("data", "split", tables / "books", "-o", tables / "split", "--max-rows-per-user", 1)
    assert run(monkeypatch, *split) == 0
    capsys.readouterr()
    assert run(monkeypatch, "data", "describe", tables / "split", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["users"], summary["items"], summary["likes"]) == (4, 5, 20)
    assert summary["split"]["test"]["rows"] == 4
    assert Dataset.load(tables / "books").items["title"][0] == "[red]Dune[/red]"


def test_bad_input_is_one_line_and_exit_code_2(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "data", "describe", tables / "no\nwhere") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1


def test_a_folder_that_is_no_data_set_is_not_replaced(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables) == 2
    assert "exists and is not a data set" in capsys.readouterr().err
    assert (tables / "clicks.csv").exists()


def test_usage_errors_exit_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "data", "split") == 2
    assert run(monkeypatch, "no-such-command") == 2


def test_version_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("ccf-llm ")
    assert run(monkeypatch, "data", "import", "--help") == 0
    assert "ccf-llm data import ml-1m.zip" in capsys.readouterr().out


def test_split_by_each_users_time(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = ("--items", tables / "books.csv", "--item-column", "book")
    assert run(monkeypatch, "data", "import", tables / "clicks.csv", *items, "-o", tables / "books") == 0
    capsys.readouterr()
    rows = {}
    for by in ("user", "last"):
        assert run(monkeypatch, "data", "split", tables / "books", "-o", tables / by, "--by", by, "--json") == 0
        summary = json.loads(capsys.readouterr().out)["split"]
        rows[summary["rule"]] = [summary[part]["rows"] for part in ("train", "valid", "test")]
    assert rows == {"user time": [34, 2, 4], "last like out": [36, 2, 2]}  # two like all, two nothing
    assert run(monkeypatch, "data", "split", tables / "books", "-o", tables / "x", "--by", "last", "--train", 0.5) == 2
    assert "train is a share" in capsys.readouterr().err
    assert not (tables / "x").exists()
