import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.data.history import Histories, given_histories, rolling_histories, within_parts

INTERACTIONS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 1), st.integers(0, 6)),
    max_size=40,
    unique_by=lambda row: (row[0], row[1], row[3]),
)


def history(histories: Histories, row: int) -> list[int]:
    return histories.likes[histories.start[row] : histories.end[row]].tolist()


def arrays(rows: list[tuple[int, ...]], width: int) -> list[np.ndarray]:
    return [np.array([row[column] for row in rows], dtype=np.int64) for column in range(width)]


def plain(rows: list[tuple[int, ...]], row: tuple[int, ...]) -> list[int]:
    """What the user of `row` likes before its second, event by event."""
    liked: dict[int, None] = {}
    for user, item, label, time, *_ in sorted(rows, key=lambda other: (other[3], other[1])):
        if user == row[0] and time < row[3]:
            liked.setdefault(item) if label else liked.pop(item, None)
    return list(liked)


@given(INTERACTIONS)
def test_rolling_histories_equal_a_plain_loop(rows: list[tuple[int, ...]]) -> None:
    users, items, labels, timestamps = arrays(rows, 4)
    histories = rolling_histories(users, items, labels.astype(np.int8), timestamps)
    for r, row in enumerate(rows):
        assert history(histories, r) == plain(rows, row)


def known(row: tuple[int, ...], rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The rows that a row may know of: a row of part -1, which is in none, all."""
    return [other for other in rows if other[4] <= row[4] or row[4] < 0]


@given(
    st.lists(
        st.tuples(*(st.integers(1, 3), st.integers(1, 5), st.integers(0, 1), st.integers(0, 6), st.integers(-1, 2))),
        max_size=30,
        unique_by=lambda row: (row[0], row[1], row[3]),
    )
)
def test_no_history_knows_of_a_later_part(rows: list[tuple[int, ...]]) -> None:
    users, items, labels, timestamps, parts = arrays(rows, 5)
    histories, leaking = within_parts(users, items, labels.astype(np.int8), timestamps, parts)
    for r, row in enumerate(rows):
        assert history(histories, r) == plain(known(row, rows), row)
    changed = sum(plain(rows, row) != plain(known(row, rows), row) for row in rows)
    later = sum(any(o[0] == row[0] and o[3] < row[3] and o[4] > row[4] >= 0 for o in rows) for row in rows)
    assert changed <= leaking <= later


def test_parts_by_time_share_one_history() -> None:
    users, items = np.array([1, 1, 1, 1]), np.array([5, 6, 7, 8])
    histories, leaking = within_parts(users, items, np.ones(4, dtype=np.int8), np.arange(4), np.array([0, 0, 1, 2]))
    assert leaking == 0
    assert len(set(histories.start)) == 1
    assert history(histories, 3) == [5, 6, 7]


def test_the_latest_label_counts_and_an_item_stands_once() -> None:
    # played three times; liked, later taken back, later liked again
    items = np.array([5, 5, 5, 6, 6, 7, 6, 9])
    labels = np.array([1, 1, 1, 1, 0, 1, 1, 0], dtype=np.int8)
    histories = rolling_histories(np.ones(8, dtype=np.int64), items, labels, np.arange(8))
    assert [history(histories, row) for row in range(8)] == [
        *([], [5], [5], [5], [5, 6], [5], [5, 7], [5, 7, 6]),
    ]


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
