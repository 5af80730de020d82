"""Cuts through the likes of train: nothing of the future is known, and nothing met is asked for."""

import numpy as np
import polars as pl
import pytest
from tests.tiny import make_dataset

from ccf_llm.data.cuts import draw_cuts
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix, seen_matrix
from ccf_llm.data.split import user_time_split
from ccf_llm.errors import CCFError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return user_time_split(make_dataset())


def test_what_is_found_was_liked_later_and_never_met_before(dataset: Dataset) -> None:
    cuts = draw_cuts(dataset, each=3)
    likes, seen = likes_matrix(dataset, "train"), seen_matrix(dataset, "train")
    assert len(cuts) > 20
    for user, history, met, found in zip(cuts.users, cuts.histories, cuts.seen, cuts.items, strict=True):
        assert likes[user, history].sum() == len(history) > 0
        assert likes[user, found].sum() == len(found) > 0
        assert seen[user, met].sum() == len(met)
        assert set(history) <= set(met)
        assert not set(found) & set(met)
        assert len(found) <= np.ceil(0.25 * len(history))


def test_a_user_comes_at_most_so_often_and_each_cut_is_another(dataset: Dataset) -> None:
    cuts = draw_cuts(dataset, each=2)
    assert np.bincount(cuts.users).max() == 2
    lengths = {(user, len(history)) for user, history in zip(cuts.users, cuts.histories, strict=True)}
    assert len(lengths) == len(cuts)


def test_the_same_seed_draws_the_same_cuts_and_another_seed_others(dataset: Dataset) -> None:
    one, same, other = (draw_cuts(dataset, each=2, seed=seed) for seed in (1, 1, 2))
    assert [h.tolist() for h in one.histories] == [h.tolist() for h in same.histories]
    assert [h.tolist() for h in one.histories] != [h.tolist() for h in other.histories]


def test_cuts_come_after_the_share_that_is_kept(dataset: Dataset) -> None:
    cuts, likes = draw_cuts(dataset, each=100, earliest=0.5), likes_matrix(dataset, "train")
    for user, history in zip(cuts.users, cuts.histories, strict=True):
        assert len(history) >= likes[user].sum() / 2


def test_one_like_each_leaves_nothing_to_ask() -> None:
    rows = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2], "split": ["train", "test"]})
    items = pl.DataFrame({"item_id": ["x", "y"], "title": ["X", "Y"]})
    with pytest.raises(CCFError, match="nobody likes two items"):
        draw_cuts(Dataset.from_frames(rows, items), each=1)
