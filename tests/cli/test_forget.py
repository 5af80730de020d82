import sys
from pathlib import Path

import polars as pl
import pytest

from ccf_llm.cli import main
from ccf_llm.data.dataset import Dataset
from ccf_llm.serving.store import EventStore


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ccf-llm", "data", "forget", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_who_was_erased_or_is_named_is_left_out(
    tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pl.DataFrame({"user_id": ["u1", "u2", "u3"], "age": ["30"] * 3})
    Dataset.from_frames(tiny_data.interactions, tiny_data.items, users=told, name="tiny").save(tmp_path / "data")
    store = f"sqlite:///{tmp_path}/events.sqlite"
    with EventStore(store) as events:
        events.erase("u1")
        events.erase("a stranger")
    assert run(monkeypatch, tmp_path / "data", "--store", store, "--user", "u2", "-o", tmp_path / "left") == 0
    left = Dataset.load(tmp_path / "left")  # whose split is checked
    gone = pl.col("user_id").is_in(["u1", "u2"])
    assert left.interactions.equals(tiny_data.interactions.filter(~gone))
    assert left.users is not None
    assert left.users["user_id"].to_list() == ["u3"]
    assert not any(name in (tmp_path / "left" / "schema.json").read_text() for name in ('"u1"', '"u2"'))


@pytest.mark.parametrize(
    ("users", "message"),
    [(["u1", "unknown"], "--user unknown: not in data set"), ([f"u{n}" for n in range(1, 31)], "leave fewer out")],
)
def test_what_cannot_be_left_out_is_one_line(
    users: list[str], message: str, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tiny_data.save(tmp_path / "data")
    named = [part for user in users for part in ("--user", user)]
    assert run(monkeypatch, tmp_path / "data", *named, "-o", tmp_path / "left") != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "left").exists()
