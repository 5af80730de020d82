"""Which rows go into which step."""

from collections.abc import Callable

import numpy as np
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import Sequence, plan_sequences
from ccf_llm.training.steps import epoch_steps, row_weights, sample_users


@pytest.fixture(scope="module")
def train(tiny_data: Dataset) -> Rows:
    return tiny_data.rows("train")


@pytest.fixture(scope="module")
def packs(train: Rows, make_network: Callable[..., CCFNetwork]) -> list[Sequence]:
    network = make_network()
    return plan_sequences(train, network.encoder, network.budget, max_tokens=400)


def test_an_epoch_uses_every_pack_once(packs: list[Sequence], train: Rows) -> None:
    steps = epoch_steps(packs, rows=None, batch_rows=20, seed=0, epoch=0)
    rows = [row for step in steps for pack in step for row in pack.rows]
    assert sorted(rows) == list(range(len(train)))
    largest = max(len(pack.rows) for pack in packs)
    sizes = [sum(len(pack.rows) for pack in step) for step in steps]
    assert all(20 <= size < 20 + largest for size in sizes[:-1])
    assert 0 < sizes[-1] < 20 + largest


def test_steps_follow_from_seed_and_epoch(packs: list[Sequence]) -> None:
    def rows(seed: int, epoch: int) -> list[int]:
        return [
            pack.rows[0] for step in epoch_steps(packs, rows=50, batch_rows=20, seed=seed, epoch=epoch) for pack in step
        ]

    assert rows(0, 0) == rows(0, 0)
    assert len({tuple(rows(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@pytest.mark.parametrize("wanted", [1, 50, 200])
def test_no_more_packs_than_needed(packs: list[Sequence], wanted: int) -> None:
    taken = [p for step in epoch_steps(packs, rows=wanted, batch_rows=16, seed=3, epoch=0) for p in step]
    total = sum(len(pack.rows) for pack in taken)
    assert wanted <= total < wanted + max(len(pack.rows) for pack in packs)
    assert total - len(taken[-1].rows) < wanted


@pytest.mark.parametrize("most", [1, 100, 500])
def test_users_are_sampled_whole(train: Rows, most: int) -> None:
    sample = sample_users(train, most, seed=0)
    for user in np.unique(sample.users):
        assert (sample.users == user).sum() == (train.users == user).sum()
    assert len(sample) >= most
    last = max((train.users == user).sum() for user in np.unique(sample.users))
    assert len(sample) < most + last
    np.testing.assert_array_equal(sample.items, sample_users(train, most, seed=0).items)


@pytest.mark.parametrize("each", [1, 3, 1000])
def test_a_sample_may_have_a_few_rows_of_many_users(train: Rows, each: int) -> None:
    whole, few = sample_users(train, 40, seed=0), sample_users(train, 40, seed=0, each=each)
    users, counts = np.unique(few.users, return_counts=True)
    assert counts.max() <= each
    there = np.minimum(np.bincount(train.users), each).sum()
    assert min(40, there) <= len(few) < 40 + each
    assert set(whole.users) <= set(users)  # the same draw of users goes on
    assert len(users) > len(set(whole.users)) or each == 1000
    np.testing.assert_array_equal(few.timestamps, sample_users(train, 40, seed=0, each=each).timestamps)
    assert len(sample_users(train, None, seed=0, each=1)) == len(np.unique(train.users))


def test_all_rows_where_no_more_are_wanted(train: Rows) -> None:
    assert sample_users(train, None, seed=0) is train
    assert sample_users(train, len(train), seed=0) is train


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_rows_of_busy_users_weigh_less(train: Rows, balance: float) -> None:
    weights = row_weights(train, balance)
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    counts = np.bincount(train.users)[train.users]
    np.testing.assert_allclose(weights * counts**balance, weights[0] * counts[0] ** balance, rtol=1e-5)
    if balance == 1:
        totals = np.bincount(train.users, weights)[np.unique(train.users)]
        np.testing.assert_allclose(totals, totals[0], rtol=1e-5)


def test_unknown_users_are_no_crowd() -> None:
    rows = Rows.for_candidates(np.array([1]), np.array([1, 2, 3]), user=0)
    np.testing.assert_array_equal(row_weights(rows, 1.0), [1, 1, 1])
