from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.manifest import By
from ccf_llm.data.split import drawn_split, global_time_split, leave_last_out, split_dataset, user_time_split
from ccf_llm.errors import CCFError


def busy(timestamps: list[int], users: int = 5) -> Dataset:
    n = len(timestamps)
    interactions = pl.DataFrame(
        {
            "user_id": [str(row % users) for row in range(n)],
            "item_id": [str(row) for row in range(n)],
            "label": [1] * n,
            "timestamp": timestamps,
        }
    )
    items = interactions.select("item_id", title=pl.lit("T"))
    return Dataset.from_frames(interactions, items)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=20, max_size=60))
def test_no_second_is_torn_apart_and_time_runs_forward(timestamps: list[int]) -> None:
    ordered = sorted(timestamps)
    first_valid, first_test = ordered[int(0.6 * len(ordered))], ordered[int(0.8 * len(ordered))]
    assume(ordered[0] < first_valid < first_test)  # otherwise a part is empty, which is refused
    frame = global_time_split(busy(timestamps), 0.6, 0.2).interactions
    spans = [frame.filter(pl.col("split") == part)["timestamp"] for part in ("train", "valid", "test")]
    assert sum(map(len, spans)) == len(timestamps)
    for earlier, later in pairwise(spans):
        assert np.max(earlier.to_numpy()) < np.min(later.to_numpy())


def test_shares_and_manifest() -> None:
    split = global_time_split(busy(list(range(100)))).split
    assert split is not None
    assert {part: record.rows for part, record in split.parts.items()} == {"train": 80, "valid": 10, "test": 10}
    assert split.cut_times == {"valid": 80, "test": 90}
    assert split.fractions == {"train": 0.8, "valid": 0.1, "test": 0.1}


def test_thinning_keeps_every_user_and_all_of_train() -> None:
    dataset = busy(list(range(100)))
    thin = global_time_split(dataset, 0.5, 0.25, max_rows_per_user=2)
    assert thin.split is not None
    assert [len(thin.rows(part)) for part in ("train", "valid", "test")] == [50, 10, 10]
    assert thin.split.parts["test"].left_out == 15
    assert set(thin.rows("test").users) == {1, 2, 3, 4, 5}
    # What was left out still happened: the last test row of a user knows all the user's likes before it.
    assert len(thin.rows().history(99)) == 19
    assert_frame_equal(thin.interactions, global_time_split(dataset, 0.5, 0.25, max_rows_per_user=2).interactions)
    other = global_time_split(dataset, 0.5, 0.25, max_rows_per_user=2, seed=1)
    assert other.split is not None
    assert other.split.parts["test"].sha256 != thin.split.parts["test"].sha256


@pytest.mark.parametrize(("train", "valid"), [(0.0, 0.1), (0.9, 0.1), (0.8, 0.0), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(train: float, valid: float) -> None:
    with pytest.raises(CCFError, match="leave a share for test"):
        global_time_split(busy(list(range(10))), train, valid)


def test_one_moment_cannot_be_split() -> None:
    with pytest.raises(CCFError, match="no times to split by; use split_dataset"):
        global_time_split(busy([7] * 10))
    with pytest.raises(CCFError, match="the valid part is empty; too few distinct timestamps"):
        global_time_split(busy([7, *[8] * 9]))


def test_at_least_one_row_per_user() -> None:
    with pytest.raises(CCFError, match="at least 1"):
        global_time_split(busy(list(range(10))), max_rows_per_user=0)


def untimed(pairs: list[tuple[str, str]]) -> Dataset:
    frame = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").with_columns(
        label=(pl.col("item_id").cast(pl.Int64) % 2).cast(pl.Int8)
    )
    items = pl.DataFrame({"item_id": [str(item) for item in range(40)]}).with_columns(title=pl.lit("T"))
    return Dataset.from_frames(frame, items)


PAIRS = [(f"u{user}", str(item)) for user in range(60) for item in range(user % 12 + 1)]


def test_without_times_the_rows_of_each_user_are_drawn() -> None:
    split = split_dataset(untimed(PAIRS))
    assert split.split is not None
    assert (split.split.rule, split.split.cut_times, split.split.seed) == ("drawn per user", None, 0)
    shares = {part: record.rows / len(PAIRS) for part, record in split.split.parts.items()}
    assert shares["train"] == pytest.approx(0.8, abs=0.05)
    assert shares["valid"] == pytest.approx(0.1, abs=0.04)
    trained = split.interactions.filter(pl.col("split") == "train")["user_id"]
    assert trained.n_unique() == 60
    assert any("drawn per user" in note for note in split.reading.notes)
    assert describe(split)["first"] is None


def test_the_draw_does_not_depend_on_the_order_of_the_rows() -> None:
    by_pair = ["user_id", "item_id"]
    one = drawn_split(untimed(PAIRS), 0.6, 0.2, max_rows_per_user=1)
    other = drawn_split(untimed(PAIRS[::-1]), 0.6, 0.2, max_rows_per_user=1)
    assert_frame_equal(one.interactions.sort(by_pair), other.interactions.sort(by_pair))
    assert one.interactions.columns == ["user_id", "item_id", "label", "timestamp", "split"]
    seeded = drawn_split(untimed(PAIRS), 0.6, 0.2, max_rows_per_user=1, seed=1)
    assert not one.interactions["split"].equals(seeded.interactions["split"], null_equal=True)


def test_a_drawn_split_is_saved_with_its_rule(tmp_path: Path) -> None:
    split = split_dataset(untimed(PAIRS))
    split.save(tmp_path / "d")
    loaded = Dataset.load(tmp_path / "d")
    assert (loaded.split, loaded.reading) == (split.split, split.reading)
    assert not loaded.reading.timed


def test_too_few_rows_to_draw_from_are_named() -> None:
    with pytest.raises(CCFError, match="the valid part is empty; too few rows per user"):
        drawn_split(untimed([("u", "1"), ("v", "2")]))


def test_a_test_part_of_strangers_is_noted() -> None:
    pairs = pl.DataFrame({"user_id": [str(row // 4) for row in range(100)], "item_id": ["1", "2", "3", "4"] * 25})
    frame = pairs.with_columns(label=pl.lit(1), timestamp=pl.int_range(100) * 10)
    items = pl.DataFrame({"item_id": ["1", "2", "3", "4"], "title": ["T"] * 4})
    notes = global_time_split(Dataset.from_frames(frame, items)).reading.notes
    assert "split: 3 of the 3 users in test have no row in train, so little is known of them" in notes
    assert not any("items in test" in note for note in notes)
    assert any("all rows of train are likes" in note for note in notes)


def of_users(*counts: int, labels: list[int] | None = None) -> Dataset:
    """Users u0, u1, ... with so many interactions each, all users in turn."""
    rows = sorted((place, user) for user, count in enumerate(counts) for place in range(count))
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{user}" for _, user in rows],
            "item_id": [str(place) for place, _ in rows],
            "label": labels or [1] * len(rows),
            "timestamp": [100 * place + user for place, user in rows],
        }
    )
    items = pl.DataFrame({"item_id": [str(place) for place in range(max(counts))], "title": ["T"] * max(counts)})
    return Dataset.from_frames(interactions, items)


def parts_of(dataset: Dataset) -> dict[str, list[str]]:
    """The parts of each user's rows, oldest first."""
    by_user = dataset.interactions.group_by("user_id").agg(pl.col("split").sort_by("timestamp"))
    return dict(by_user.sort("user_id").iter_rows())


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (2, 0, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (7, 1, 2)), (20, (14, 2, 4))],
)
def test_each_user_is_split_by_the_own_time(count: int, sizes: tuple[int, int, int]) -> None:
    train, valid, test = sizes
    parts = parts_of(user_time_split(of_users(count, 20)))
    assert parts["u0"] == ["train"] * train + ["valid"] * valid + ["test"] * test


def test_the_split_by_user_records_its_rule_and_survives_saving(tmp_path: Path) -> None:
    split = user_time_split(of_users(10, 20, 30))
    assert split.split is not None
    assert (split.split.rule, split.split.cut_times) == ("user time", None)
    assert split.split.fractions == {"train": 0.7, "valid": 0.1, "test": 0.2}
    assert {part: record.rows for part, record in split.split.parts.items()} == {"train": 42, "valid": 6, "test": 12}
    split.save(tmp_path / "d")
    assert Dataset.load(tmp_path / "d").split == split.split
    assert split.history_notes == []  # by time: nothing had to be repaired


@pytest.mark.parametrize("by", ["user", "last"])
def test_a_split_of_pieces_by_their_users_is_that_of_the_whole(tmp_path: Path, by: By) -> None:
    dataset = tiny.make_dataset()
    dataset.save(tmp_path / "data")
    pieces = [split_dataset(piece, by=by) for piece in Dataset.pieces(tmp_path / "data", rows=300)]
    assert len(pieces) > 2
    whole = split_dataset(dataset, by=by)
    assert_frame_equal(pl.concat([piece.interactions for piece in pieces]), whole.interactions)


def test_no_history_of_a_split_by_user_holds_a_later_part() -> None:
    split = user_time_split(of_users(10, 30))
    rows, part = split.rows(), split.interactions["split"].to_list()
    first_test = part.index("test")
    assert rows.history(first_test).tolist() == list(range(1, first_test + 1))


def test_rows_of_one_second_are_split_in_the_order_of_the_items() -> None:
    frame = pl.DataFrame({"user_id": ["u"] * 10, "item_id": [str(item) for item in range(10)], "label": [1] * 10})
    frame = frame.with_columns(timestamp=pl.Series([5] * 9 + [9]))
    items = frame.select("item_id", title=pl.lit("T"))
    for order in (frame, frame.reverse()):
        split = user_time_split(Dataset.from_frames(order, items))
        assert split.interactions["item_id"].to_list() == [str(item) for item in range(10)]
        assert split.interactions["split"].to_list() == ["train"] * 7 + ["valid"] + ["test"] * 2
        assert len(split.rows().history(8)) == 0  # what shares its second with it says nothing
        assert len(split.rows().history(9)) == 9


def test_the_last_like_is_left_out() -> None:
    split = leave_last_out(of_users(1, 2, 3, 5))
    assert parts_of(split) == {
        "u0": ["train"],
        "u1": ["train", "test"],
        "u2": ["train", "valid", "test"],
        "u3": ["train", "train", "train", "valid", "test"],
    }
    assert split.split is not None
    assert (split.split.rule, split.split.fractions) == ("last like out", None)


def test_likes_make_the_shares_and_dislikes_stay_in_their_time() -> None:
    labels = [0, 1, 0, 1, 1, 1, 0, 1, 0]
    split = user_time_split(of_users(9, labels=labels), 0.5, 0.25)
    assert parts_of(split)["u0"] == ["train"] * 2 + ["train"] * 2 + ["valid"] + ["test"] * 4
    split = leave_last_out(of_users(9, labels=labels))
    assert parts_of(split)["u0"] == ["train"] * 5 + ["valid"] + ["test"] * 3
    summary = describe(split)["split"]
    assert (summary["test"]["rows"], summary["test"]["likes"], summary["test"]["users_with_a_like"]) == (3, 1, 1)


def test_describe_says_who_has_something_to_be_found() -> None:
    # In turn: u0 likes everything, u1 nothing, u2 its first alone.
    labels = [1, 0, 1] + [1, 0, 0] * 4
    summary = describe(leave_last_out(of_users(5, 5, 5, labels=labels)))["split"]
    assert [summary[part]["users_with_a_like"] for part in ("train", "valid", "test")] == [2, 1, 1]
    assert [summary[part]["likes"] for part in ("train", "valid", "test")] == [4, 1, 1]
    assert (summary["train"]["rows"], summary["test"]["rows"]) == (3 + 5 + 1, 1 + 4)


def test_split_dataset_names_the_rule() -> None:
    dataset = of_users(10, 20)
    rules = {by: split_dataset(dataset, by=by).split for by in ("global", "user", "last")}
    assert [split.rule for split in rules.values() if split] == ["global time", "user time", "last like out"]
    assert split_dataset(dataset).split == rules["global"] == global_time_split(dataset).split
    halves = split_dataset(dataset, 0.5, 0.25, by="user").split
    assert halves is not None
    assert halves.fractions == {"train": 0.5, "valid": 0.25, "test": 0.25}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "item"}, "split: by 'item' is none of global, user, last"),
        ({"by": "user", "max_rows_per_user": 3}, "split: max_rows_per_user thins a global split only; leave it out by"),
        ({"by": "last", "train": 0.7}, "split: train is a share, and by 'last' there is none; leave it out"),
        ({"by": "user", "train": 0.95}, "leave a share for test"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        split_dataset(of_users(10, 20), **options)


def test_users_with_too_few_likes_are_named() -> None:
    with pytest.raises(CCFError, match="the valid part is empty; no user has three likes"):
        leave_last_out(of_users(2, 2))
    with pytest.raises(CCFError, match="the valid part is empty; too few likes per user for these shares"):
        user_time_split(of_users(3, 3))
    with pytest.raises(CCFError, match="no times to split by"):
        user_time_split(untimed(PAIRS))
