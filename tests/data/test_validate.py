from datetime import datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.errors import CCFError

LATELY = [1_700_000_000, 1_700_000_001]
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
    assert describe(dataset)["left_out"] == {"identical interactions": 2}
    assert describe(dataset)["rows_read"] == 4


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [None, "v"]}, "no user_id in row 0"),
        ({"user_id": ["u", ""]}, "row 1 has an empty user_id"),
        ({"user_id": [1.5, 2.0]}, "user_id 1.5 in row 0 is no id; give texts or whole numbers"),
        ({"item_id": ["x", "x"]}, "item 'x' is not among the items .1 such items in 2 places."),
        ({"label": [1, 2]}, "label 2 in row 1 is neither 0 nor 1"),
        ({"label": [None, 1]}, "no label in row 0"),
        ({"label": ["yes", "no"]}, "label 'yes' in row 0 is not a number"),
        ({"rating": [float("nan"), 3.0]}, "rating in row 0 is not finite"),
        ({"rating": [3.0, 6.0]}, "rating 6.0 in row 1 is outside 1 to 5"),
        ({"timestamp": [5, -6]}, "timestamp -6 in row 1"),
        ({"timestamp": [5.5, float("nan")]}, "timestamp nan in row 1 is neither a number of seconds"),
        ({"timestamp": [5, None]}, "no timestamp in row 1"),
        ({"timestamp": [5, 978_300_760_000]}, "row 1 is not in seconds.*divide by 1000"),
        ({"split": ["train", "dev"]}, "split 'dev' in row 1"),
        ({"history": ["a", "b"]}, "does not hold lists"),
        ({"history": [["a"], ["a", "b", None]]}, "`history`: the list in row 1 lacks an item id"),
        ({"history": [[], ["z"]]}, "`history`: item 'z' is not among"),
        ({"user_id": ["u", "u"], "item_id": ["a", "a"], "timestamp": [5, 5]}, "'u', item 'a' occurs more"),
        (
            {"user_id": ["u", "u", "v"], "item_id": ["a"] * 3, "label": [1, 0, 1], "timestamp": [5, 5, 6]},
            "'u', item 'a', timestamp 5 occurs more",
        ),
    ],
)
def test_faults_in_interactions_are_named_in_one_line(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        Dataset.from_frames(interactions(**columns), ITEMS, rating_range=(1, 5))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(CCFError, match=f"interactions: no column `{column}`"):
        Dataset.from_frames(interactions().drop(column), ITEMS)


def test_clicks_are_likes_and_that_is_said() -> None:
    dataset = Dataset.from_frames(interactions(timestamp=LATELY).drop("label"), ITEMS)
    assert dataset.interactions["label"].to_list() == [1, 1]
    assert dataset.reading.notes == [
        "interactions: neither a `label` nor a `rating` column, so every row counts as a like",
        "interactions: every row is a like, and the rating task needs both likes and dislikes to train: give a "
        "`rating` or `label` column (--rating-column, --label-column)",
    ]
    with pytest.raises(CCFError, match="if `Book-Rating` is one, give --rating-column Book-Rating"):
        Dataset.from_frames(interactions().rename({"label": "Book-Rating"}), ITEMS)


def test_a_threshold_has_no_say_over_labels_and_that_is_said() -> None:
    dataset = Dataset.from_frames(interactions(timestamp=LATELY), ITEMS, like_threshold=3)
    assert dataset.reading.notes == ["interactions: `label` decides what is a like; --like-threshold has no say"]
    assert dataset.like_threshold is None


def test_no_rows() -> None:
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


def test_without_times_all_timestamps_are_zero_and_that_is_said() -> None:
    for frame in (
        interactions().drop("timestamp"),
        interactions(timestamp=[None, None]),
        interactions(timestamp=["2024-01-01"] * 2),
    ):
        dataset = Dataset.from_frames(frame, ITEMS)
        assert dataset.interactions["timestamp"].to_list() == [0, 0]
        assert not dataset.reading.timed
        assert "`data split` draws the rows of each user" in dataset.reading.notes[0]


def test_all_unknown_items_and_missing_titles_are_counted_at_once() -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["Alien", "\u200b", None]})
    frame = interactions(
        user_id=["u"] * 5, item_id=["a", "x", "x", "y", "b"], label=[1, 0, 1, 1, 1], timestamp=list(range(5, 10))
    )
    with pytest.raises(CCFError) as fault:
        Dataset.from_frames(frame, items)
    assert str(fault.value) == (
        "items: item 'b' has an empty title (2 in all); interactions: item 'x' is not among the items (2 such "
        "items in 3 places); correct the tables, or leave such rows out with --drop-unknown"
    )
    dataset = Dataset.from_frames(frame, items, drop_unknown=True)
    assert dataset.interactions["item_id"].to_list() == ["a"]
    assert dataset.items["item_id"].to_list() == ["a"]
    assert describe(dataset)["left_out"] == {"items without a title": 2, "interactions of unknown items": 4}
    with pytest.raises(CCFError, match="none is of a known item"):
        Dataset.from_frames(interactions(item_id=["x", "y"]), ITEMS, drop_unknown=True)


def test_unknown_items_of_histories_are_dropped_too() -> None:
    frame = interactions(history=[["z", "a"], ["a", "b", "z", "a"]])
    dataset = Dataset.from_frames(frame, ITEMS, drop_unknown=True)
    assert dataset.interactions["history"].to_list() == [["a"], ["a", "b", "a"]]


def test_ids_that_tools_spell_otherwise_are_one() -> None:
    items = pl.DataFrame({"item_id": ["10", "11"], "title": ["Alien", "Babe"]})
    frame = interactions(item_id=["10.0", " 11"], user_id=["ana ", "\u00a0ana"])
    dataset = Dataset.from_frames(frame, items)
    assert dataset.interactions.select("user_id", "item_id").rows() == [("ana", "10"), ("ana", "11")]


@pytest.mark.parametrize(
    ("ids", "interacted", "message"),
    [
        (["10", "x"], ["10.0", "x"], "item '10.0' is not among the items, but '10' is"),
        (["7", "x"], ["007", "x"], "item '007' is not among the items, but '7' is"),
        (["ABC", "x"], ["abc", "x"], "item 'abc' is not among the items, but 'ABC' is"),
        (["x", "x "], ["x", "x"], "item_id 'x' occurs more than once, written 'x' and 'x '"),
        (["7", "7.0"], ["7", "7"], "item_id '7' occurs more than once, written '7' and '7.0'"),
    ],
)
def test_ids_that_nearly_fit_are_shown_beside_each_other(ids: list[str], interacted: list[str], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        Dataset.from_frames(interactions(item_id=interacted), pl.DataFrame({"item_id": ids, "title": ["A", "B"]}))
