import json
from pathlib import Path

import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError


def test_it_travels_with_the_data_set(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "x"]})
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["Alien", "Babe"]})
    dataset = Dataset.from_frames(frame, items, drop_unknown=True)
    assert dataset.reading.left_out == {"interactions of unknown items": 1}
    dataset.save(tmp_path / "d")
    loaded = Dataset.load(tmp_path / "d")
    assert loaded.reading == dataset.reading
    assert describe(loaded) == describe(dataset)
    assert describe(dataset)["rows_read"] == 2


def test_older_data_sets_have_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert Reading.from_json(None, "here") == Reading()
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "label": [1], "timestamp": [7]})
    Dataset.from_frames(frame, pl.DataFrame({"item_id": ["a"], "title": ["Alien"]})).save(tmp_path / "d")
    tiny.unseal(tmp_path / "d")
    schema = json.loads((tmp_path / "d" / "schema.json").read_text())
    (tmp_path / "d" / "schema.json").write_text(json.dumps(schema | {"reading": {"timed": True}}))
    with pytest.raises(CCFError, match=r"schema\.json: `reading` is not what this version writes"):
        Dataset.load(tmp_path / "d")


def test_a_note_is_said_once() -> None:
    reading = Reading()
    reading.note("one")
    reading.note("one")
    reading.leave_out("rows", 0)
    assert reading.notes == ["one"]
    assert reading.with_notes(["two"]).notes == ["one", "two"]
    assert reading.notes == ["one"]
