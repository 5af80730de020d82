from pathlib import Path

import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import import_path
from ccf_llm.errors import CCFError

PARTS = {
    "train": [(1, 3054, 1, 1483920000.0, [0]), (1, 1985, 0, 1484525000.0, [0, 3054]), (2, 1985, 1, 1484600000.0, [0])],
    "valid": [(1, 7, 1, 1485000000.0, [0, 3054])],
    "test": [(1, 7, 0, 1486000000.0, [0, 3054, 7]), (2, 3054, 1, 1486000000.0, [0, 1985])],
}
TITLES = {3054: "ENDURANCE by Lansing, Alfred [ Paperback ]", 1985: "Norwegian Wood ", 7: "The Day Of The Jackal"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As pandas writes the published frames: ids and labels as numbers, histories that begin with a 0."""
    for part, rows in PARTS.items():
        again = [*rows, rows[-1]] if part == "train" else rows
        frame = pl.DataFrame(again, schema=["uid", "iid", "label", "timestamp", "his"], orient="row")
        titles = pl.Series("title", [TITLES[row[1]] for row in again])
        extra = pl.Series("his_title", [["", *(TITLES[item] for item in row[4][1:])] for row in again])
        frame.with_columns(titles, extra, flag=pl.lit(-1.0), not_cold=pl.lit(1)).write_parquet(
            tmp_path / f"{part}_ood2.parquet"
        )
    return tmp_path


def test_the_published_parts_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    dataset = import_path(folder)
    assert dataset.interactions.select("user_id", "item_id", "label", "timestamp", "split", "history").rows() == [
        ("1", "3054", 1, 1483920000, "train", []),
        ("1", "1985", 0, 1484525000, "train", ["3054"]),
        ("1", "7", 1, 1485000000, "valid", ["3054"]),
        ("1", "7", 0, 1486000000, "test", ["3054", "7"]),
        ("2", "1985", 1, 1484600000, "train", []),
        ("2", "3054", 1, 1486000000, "test", ["1985"]),
    ]
    assert dict(dataset.items.rows()) == {str(item): title.strip() for item, title in TITLES.items()}
    assert dataset.reading.rows == 7
    assert list(dataset.reading.left_out.values()) == [1]
    dataset.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").identity == dataset.identity


def test_pickles_are_not_read(folder: Path) -> None:
    for part in PARTS:
        (folder / f"{part}_ood2.parquet").rename(folder / f"{part}_ood2.pkl")
    with pytest.raises(CCFError, match=r"holds pickles.*write them as Parquet in an environment that you trust"):
        import_path(folder)


def test_a_part_without_histories_is_named(folder: Path) -> None:
    path = folder / "test_ood2.parquet"
    pl.read_parquet(path).drop("his").write_parquet(path)
    with pytest.raises(CCFError, match=r"test_ood2\.parquet: no column `his`"):
        import_path(folder)
