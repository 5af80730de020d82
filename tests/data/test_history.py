import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.data.history import Histories, given_histories, rolling_histories

INTERACTIONS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 1), st.integers(0, 6)), max_size=40
)


def history(histories: Histories, row: int) -> list[int]:
    return histories.likes[histories.start[row] : histories.end[row]].tolist()


@given(INTERACTIONS)
def test_rolling_histories_equal_a_plain_loop(rows: list[tuple[int, int, int, int]]) -> None:
    users, items, labels, timestamps = (
        np.array(column, dtype=np.int64) for column in (zip(*rows, strict=True) if rows else ([], [], [], []))
    )
    histories = rolling_histories(users, items, labels.astype(np.int8), timestamps)
    in_time = sorted(rows, key=lambda row: row[3])
    for r, (user, _, _, time) in enumerate(rows):
        assert history(histories, r) == [i for u, i, liked, t in in_time if u == user and liked and t < time]


def test_likes_of_the_same_second_do_not_leak() -> None:
    ones = np.ones(3, dtype=np.int64)
    histories = rolling_histories(ones, np.array([5, 6, 7]), np.ones(3, dtype=np.int8), np.array([10, 10, 11]))
    assert [history(histories, row) for row in range(3)] == [[], [], [5, 6]]


def test_rows_of_a_user_share_their_start() -> None:
    users = np.array([2, 1, 2, 1, 2])
    histories = rolling_histories(users, np.arange(1, 6), np.ones(5, dtype=np.int8), np.arange(5))
    for user in (1, 2):
        assert len(set(histories.start[users == user])) == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=5)), max_size=12))
def test_given_histories_come_back_exactly(rows: list[tuple[int, list[int]]]) -> None:
    users = np.array([user for user, _ in rows], dtype=np.int64)
    flat = np.array([item for _, items in rows for item in items], dtype=np.int64)
    histories = given_histories(users, flat, np.array([len(items) for _, items in rows], dtype=np.int64))
    assert [history(histories, row) for row in range(len(rows))] == [items for _, items in rows]


def test_given_prefixes_are_stored_once() -> None:
    flat = np.array([4, 4, 5, 4, 5, 6, 9])
    histories = given_histories(np.array([1, 1, 1, 1]), flat, np.array([1, 2, 3, 1]))
    assert histories.likes.tolist() == [4, 5, 6, 9]
    assert histories.start.tolist() == [0, 0, 0, 3]
