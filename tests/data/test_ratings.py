import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.ratings import choose_threshold, histogram
from ccf_llm.errors import CCFError


def rated(ratings: list[float], **options: float) -> Dataset:
    n = len(ratings)
    frame = pl.DataFrame(
        {
            "user_id": ["u"] * n,
            "item_id": [str(i) for i in range(n)],
            "rating": map(float, ratings),
            "timestamp": range(10**9, 10**9 + n),
        }
    )
    return Dataset.from_frames(frame, frame.select("item_id", title=pl.lit("T")), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ratings", "threshold"),
    [([1, 2, 3, 4, 5], 4), ([0.5, 3.5, 4.5], 4), ([5, 5, 5], 4), ([0, 1, 1], 1), ([1, 4], 4)],
)
def test_the_threshold_is_chosen_where_there_is_no_doubt(ratings: list[float], threshold: float) -> None:
    assert choose_threshold(pl.Series(ratings, dtype=pl.Float64)) == threshold


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (
            [1, 5, 6, 7, 7, 8, 9, 10],
            r"from 1 to 10 \(1: 1, .*10: 1\).*such as --like-threshold 7 \(62% likes; 4: 88%\)",
        ),
        ([4, 4, 5], r"from 4 to 5 \(4: 2, 5: 1\).*--like-threshold 5 \(33% likes; 4: 100%\)"),
        ([1, 2, 3], "--like-threshold 2"),
        ([-1, 1], "--like-threshold 1"),
        ([float(i) for i in range(101)], r"0 to 10: 10, .*--like-threshold 51 "),
    ],
)
def test_where_there_is_doubt_the_histogram_and_a_proposal_are_shown(ratings: list[float], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        choose_threshold(pl.Series(ratings, dtype=pl.Float64))


def test_a_named_threshold_is_obeyed() -> None:
    dataset = rated([1, 5, 8, 10], like_threshold=8)
    assert dataset.interactions["label"].to_list() == [0, 0, 1, 1]
    summary = describe(dataset)
    assert (summary["like_threshold"], summary["share_of_likes"]) == (8, 0.5)
    assert summary["ratings"] == {"1": 1, "5": 1, "8": 1, "10": 1}
    assert summary["notes"] == []


def test_likes_alone_are_said_with_the_remedy() -> None:
    note = (
        "interactions: every row is a like, and the rating task needs both likes and dislikes to train: choose another "
    )
    assert rated([5, 9], like_threshold=4).reading.notes == [note + "--like-threshold"]
    assert rated([5, 5]).reading.notes == [note + "--like-threshold"]


def test_zero_is_no_rating_where_the_scale_begins_at_one() -> None:
    dataset = rated([0, 1, 5, 0, 3])
    assert dataset.interactions["rating"].to_list() == [1, 5, 3]
    assert dataset.interactions["label"].to_list() == [0, 1, 0]
    assert describe(dataset)["left_out"] == {"interactions rated 0, which means not rated": 2}
    assert describe(dataset)["rows_read"] == 5
    assert len(rated([0, 0.5, 5, 4]).interactions) == 4
    assert len(rated([0, 1, 1]).interactions) == 3


def test_many_ratings_are_shown_in_ranges() -> None:
    shown = histogram(pl.Series([float(i) for i in range(100)]))
    assert list(shown.values()) == [10] * 10
    assert histogram(pl.Series([0.7, 0.7, 1], dtype=pl.Float32)) == {"0.7": 2, "1": 1}
