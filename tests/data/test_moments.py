"""Moments of train that all share: what was before is known, and nothing of what came later."""

import numpy as np
import polars as pl
import pytest
from tests.tiny import make_dataset

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.split import global_time_split
from ccf_llm.errors import CCFError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return global_time_split(make_dataset(800))


def test_each_moment_parts_what_was_before_from_what_came_until_the_next(dataset: Dataset) -> None:
    train = dataset.interactions.filter(pl.col("split") == "train")
    found = moments(dataset, 4, earliest=0.4)
    assert len(found) == 4
    stretches = []
    for moment in found:
        before, after = (moment.interactions.filter(pl.col("split") == part) for part in ("train", "valid"))
        assert before["timestamp"].max() < after["timestamp"].min()
        assert len(before) == (train["timestamp"] < after["timestamp"].min()).sum()
        assert not (moment.interactions["split"] == "test").any()
        stretches.append(after)
    assert 0.35 < len(found[0].interactions.filter(pl.col("split") == "train")) / len(train) < 0.45
    later = pl.concat(stretches)  # all of train from the first moment on, once
    first = stretches[0]["timestamp"].min()
    assert (
        later.sort(pl.all())
        .drop("split")
        .equals(train.filter(pl.col("timestamp") >= first).sort(pl.all()).drop("split"))
    )


def test_codes_stay_and_what_a_moment_asks_for_was_liked_after_it(dataset: Dataset) -> None:
    for moment in moments(dataset, 3):
        assert moment.item_vocabulary == dataset.item_vocabulary
        then, later = (likes_matrix(moment, part) for part in ("train", "valid"))
        asked = targets(moment, "valid")
        for user, history, found in zip(asked.users, asked.histories, asked.items, strict=True):
            assert sorted(history) == sorted(then[user].indices)
            assert later[user, found].toarray().all()
            assert not then[user, found].toarray().any()


def test_what_came_out_between_is_new_at_a_moment() -> None:
    items = pl.DataFrame({"item_id": [str(i) for i in range(20)], "title": [f"Item {i}" for i in range(20)]})
    rows = pl.DataFrame(
        {"user_id": [str(i % 4) for i in range(200)], "item_id": [str(i // 10) for i in range(200)]}
    ).with_columns(timestamp=pl.int_range(200), label=pl.lit(1))
    for moment in moments(global_time_split(Dataset.from_frames(rows, items)), 5):
        known = likes_matrix(moment, "train").getnnz(axis=0) > 0
        assert np.mean([not known[item] for found in targets(moment, "valid").items for item in found]) > 0.5


def test_data_that_have_no_moments_are_refused(dataset: Dataset) -> None:
    with pytest.raises(CCFError, match="no split or no times"):
        moments(make_dataset(), 2)
    at_once = dataset.interactions.with_columns(timestamp=pl.col("timestamp") // 10**9)
    with pytest.raises(CCFError, match="too few distinct times for 50"):
        moments(dataset.with_tables(at_once, dataset.items), 50)
