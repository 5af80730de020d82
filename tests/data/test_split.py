from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.split import global_time_split
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
    with pytest.raises(CCFError, match="the train part is empty"):
        global_time_split(busy([7] * 10))


def test_at_least_one_row_per_user() -> None:
    with pytest.raises(CCFError, match="at least 1"):
        global_time_split(busy(list(range(10))), max_rows_per_user=0)
