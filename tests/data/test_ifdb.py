from pathlib import Path

import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import import_ifdb, import_path
from ccf_llm.data.named import open_dataset
from ccf_llm.errors import CCFError

ITEMS = {
    "item_id": ["a", "b", "c"],
    "title": ["Rain", "<Sun>", "Night"],
    "author": ["Ömer", "", "A. B."],
    "genre": ["Fantasy/Slice of life", "", "Horror"],
    "system": ["Twine", "", "Inform 7"],
    "tags": ["magic,short|sweet,magic, IFComp 2020", ",".join(["rain", "x" * 290, "torn"])[:300], "female protagonist"],
    "year": ["2020", "", "1999"],
    "description": ["<p>You are <i>late</i>.<br/>Run &amp; hide</p>", "", "See <a href="],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "IF"
    folder.mkdir()
    pl.DataFrame(ITEMS).write_parquet(folder / "items.parquet")
    plays = {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["a", "b", "a"],
        "timestamp": [315532802, 1500000000, 1600000000],
    }
    pl.DataFrame(plays).write_parquet(folder / "plays.parquet")
    labels = {"user_id": ["u1", "u3"], "item_id": ["c", "a"], "label": [0, 1]}
    pl.DataFrame(labels).write_parquet(folder / "labels.parquet")
    return folder


def test_plays_are_likes(folder: Path) -> None:
    dataset = import_path(folder)
    assert dataset.name == "ifdb"
    assert dataset.interactions.rows() == [
        ("u1", "a", 1, 315532802),
        ("u1", "b", 1, 1500000000),
        ("u2", "a", 1, 1600000000),
    ]
    notes = " ".join(dataset.reading.notes)
    assert "credit IFDB" in notes
    assert "1 plays have dummy times" in notes
    assert "tags name competitions and awards" in notes


def test_words_are_plain(folder: Path) -> None:
    items = import_ifdb(folder).items
    assert items["title"].to_list() == ITEMS["title"]
    assert items["genre"].to_list() == ["Fantasy, Slice of life", "", "Horror"]
    assert items["tags"].to_list() == ["magic, short, sweet, IFComp 2020", f"rain, {'x' * 290}", "female protagonist"]
    assert items["description"].to_list() == ["You are late. Run & hide", "", "See"]


def test_labels_are_the_rating_task(folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(folder / "labels.parquet")
    assert dataset.name == "ifdb-labels"
    assert dataset.interactions.select("user_id", "item_id", "label").rows() == [("u1", "c", 0), ("u3", "a", 1)]
    assert not dataset.reading.timed
    dataset.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").items.equals(dataset.items)


def test_what_lacks_is_named(folder: Path) -> None:
    pl.DataFrame(ITEMS).drop("tags").write_parquet(folder / "items.parquet")
    with pytest.raises(CCFError, match=r"items\.parquet: no column `tags`"):
        import_path(folder)
    (folder / "items.parquet").unlink()
    with pytest.raises(CCFError, match="no known data set"):
        import_path(folder)
