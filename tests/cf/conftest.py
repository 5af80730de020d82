import numpy as np
import pytest
import torch

from ccf_llm.data.rows import Rows

N_USERS, N_ITEMS = 41, 31
"""User 41 and item 31 are known by name only: they have no training row."""


def taste_rows(seed: int, n: int) -> Rows:
    """Users and items of two groups; a user likes an item of the same group, 9 times out of 10."""
    rng = np.random.default_rng(seed)
    users = np.sort(rng.integers(1, N_USERS, n))
    items = rng.integers(1, N_ITEMS, n)
    liked = (users % 2 == items % 2) ^ (rng.random(n) < 0.1)
    likes, start, end = [], [], []
    for row, user in enumerate(users):
        if row == 0 or users[row - 1] != user:
            first = len(likes)
        start.append(first)
        end.append(len(likes))
        if liked[row]:
            likes.append(items[row])
    return Rows(
        users=users,
        items=items,
        labels=liked.astype(np.int8),
        timestamps=np.arange(n),
        likes=np.array(likes),
        start=np.array(start),
        end=np.array(end),
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """On a busy machine, threads that wait for each other make these tiny steps ten times slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def train() -> Rows:
    return taste_rows(0, 900)


@pytest.fixture(scope="session")
def valid() -> Rows:
    return taste_rows(1, 300)
