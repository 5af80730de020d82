from datetime import datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["Alien", "Babe"]})


def interactions(**columns: list[Any]) -> pl.DataFrame:
    whole: dict[str, list[Any]] = {"user_id": ["u", "v"], "item_id": ["a", "b"], "label": [1, 0], "timestamp": [5, 6]}
    return pl.DataFrame(whole | columns, strict=False)


def test_the_frame_has_the_agreed_types_and_loses_other_columns() -> None:
    frame = interactions(rating=[4, 2], note=["x", "y"])
    clean = Dataset.from_frames(frame.with_columns(pl.col("timestamp").cast(pl.Float64)), ITEMS).interactions
    assert clean.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "label": pl.Int8,
        "timestamp": pl.Int64,
        "rating": pl.Float32,
    }


def test_ids_of_any_kind_become_text() -> None:
    items = pl.DataFrame({"item_id": [1, 2], "title": ["Alien", "Babe"], "year": [1979.0, None]})
    dataset = Dataset.from_frames(interactions(item_id=[1.0, 2.0], user_id=["🎬", "007"]), items)
    assert dataset.interactions["item_id"].to_list() == ["2", "1"]
    assert dataset.interactions["user_id"].to_list() == ["007", "🎬"]
    assert dataset.items["year"].to_list() == ["1979", ""]


def test_text_columns_as_a_csv_gives_them_are_cast() -> None:
    frame = interactions(timestamp=["881250949.0", " 7"], label=["1", "0"])
    clean = Dataset.from_frames(frame, ITEMS).interactions
    assert clean["timestamp"].to_list() == [881250949, 7]
    assert clean["label"].to_list() == [1, 0]


def test_ratings_become_labels_at_the_threshold() -> None:
    frame = interactions(rating=[3.5, 3.0]).drop("label")
    assert Dataset.from_frames(frame, ITEMS, like_threshold=3.5).interactions["label"].to_list() == [1, 0]


def test_dates_become_seconds() -> None:
    clean = Dataset.from_frames(interactions(timestamp=[datetime(1970, 1, 2), datetime(2000, 1, 1)]), ITEMS)
    assert clean.interactions["timestamp"].to_list() == [86_400, 946_684_800]


def test_identical_rows_are_dropped_and_counted() -> None:
    frame = interactions()
    dataset = Dataset.from_frames(pl.concat([frame, frame]), ITEMS)
    assert_frame_equal(dataset.interactions, Dataset.from_frames(frame, ITEMS).interactions)
    assert dataset.describe()["identical_rows_dropped"] == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [None, "v"]}, "no user_id in row 0"),
        ({"user_id": ["u", ""]}, "row 1 has an empty user_id"),
        ({"user_id": [1.5, 2.0]}, "ids must be texts or whole numbers"),
        ({"item_id": ["x", "x"]}, "item 'x' is not among the items .1 such items in 2 places."),
        ({"label": [1, 2]}, "label 2 in row 1 is neither 0 nor 1"),
        ({"label": [None, 1]}, "no label in row 0"),
        ({"label": ["yes", "no"]}, "label 'yes' in row 0 is not a number"),
        ({"rating": [float("nan"), 3.0]}, "rating in row 0 is not finite"),
        ({"rating": [3.0, 6.0]}, "rating 6.0 in row 1 is outside 1 to 5"),
        ({"timestamp": [5, -6]}, "timestamp -6 in row 1"),
        ({"timestamp": [5.5, 6.0]}, "timestamp 5.5 in row 0 is not a whole"),
        ({"timestamp": [5, None]}, "no timestamp in row 1"),
        ({"timestamp": [5, 978_300_760_000]}, "row 1 is not in seconds.*divide by 1000"),
        ({"split": ["train", "dev"]}, "split 'dev' in row 1"),
        ({"history": ["a", "b"]}, "does not hold lists"),
        ({"history": [["a"], ["a", "b", None]]}, "`history`: the list in row 1 lacks an item id"),
        ({"history": [[], ["z"]]}, "`history`: item 'z' is not among"),
        ({"user_id": ["u", "u"], "item_id": ["a", "a"], "timestamp": [5, 5]}, "'u', item 'a', timestamp 5 occurs more"),
    ],
)
def test_faults_in_interactions_are_named_in_one_line(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        Dataset.from_frames(interactions(**columns), ITEMS, rating_range=(1, 5))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(CCFError, match=f"interactions: no column `{column}`"):
        Dataset.from_frames(interactions().drop(column), ITEMS)


def test_neither_label_nor_rating_and_no_rows() -> None:
    with pytest.raises(CCFError, match="neither a `label` nor a `rating`"):
        Dataset.from_frames(interactions().drop("label"), ITEMS)
    with pytest.raises(CCFError, match="no rows"):
        Dataset.from_frames(interactions().clear(), ITEMS)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"item_id": ["a", "a"], "title": ["x", "y"]}, "item_id 'a' occurs more than once"),
        ({"item_id": ["a", "b"], "title": ["x", " "]}, "item 'b' has an empty title"),
        ({"item_id": ["a", "b"], "title": ["x", None]}, "item 'b' has an empty title"),
        ({"item_id": ["a", "b"]}, "no column `title`"),
        ({"item_id": [b"a", b"b"], "title": ["x", "y"]}, "type Binary"),
    ],
)
def test_faults_in_items_are_named(items: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        Dataset.from_frames(interactions(), pl.DataFrame(items))
