"""What each user liked before each interaction."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Codes

Integers = NDArray[np.int64]


class Histories(NamedTuple):
    """The history of row r is `likes[start[r]:end[r]]`, oldest first (see `Rows`)."""

    likes: Codes
    """(L,) liked item codes, user by user."""
    start: Integers
    """(N,)"""
    end: Integers
    """(N,)"""


def rolling_histories(users: Codes, items: Codes, labels: NDArray[np.int8], timestamps: Integers) -> Histories:
    """The histories of N interactions: the user's likes at a timestamp STRICTLY before the row's own.

    Rows of one user at the same second know nothing of each other: what was rated together may not leak. Likes of the
    same second stand in the history in the order of the rows.
    """
    order = np.lexsort((timestamps, users))  # stable: the order of the rows breaks ties
    user, time, liked = users[order], timestamps[order], labels[order] == 1
    before = np.cumsum(liked) - liked  # likes in the sorted rows above each row, all users counted
    new_user = np.ones(len(order), dtype=bool)
    new_user[1:] = user[1:] != user[:-1]
    new_second = new_user.copy()
    new_second[1:] |= time[1:] != time[:-1]
    start, end = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    start[order] = before[_first_of_run(new_user)]
    end[order] = before[_first_of_run(new_second)]
    return Histories(items[order][liked], start, end)


def given_histories(users: Codes, flat: Codes, lengths: Integers) -> Histories:
    """Histories exactly as a source gives them, stored once per user where they are prefixes of each other.

    `flat` (sum of lengths,) holds the N given histories one after the other, `lengths` (N,) their lengths. A user's
    longest history is stored; a row whose history is not a prefix of it gets a segment of its own.
    """
    n = len(users)
    first = np.cumsum(lengths) - lengths
    by_length = np.lexsort((-lengths, users))
    new_user = np.ones(n, dtype=bool)
    new_user[1:] = users[by_length][1:] != users[by_length][:-1]
    longest = np.empty(n, dtype=np.int64)  # the row that holds the longest history of each row's user
    longest[by_length] = by_length[_first_of_run(new_user)]

    row = np.repeat(np.arange(n), lengths)
    position = np.arange(len(flat)) - first[row]
    differs = flat != flat[first[longest][row] + position]
    is_prefix = np.bincount(row, weights=differs, minlength=n) == 0
    stored_by = np.where(is_prefix, longest, np.arange(n))

    stored = np.zeros(n, dtype=bool)
    stored[stored_by] = True
    kept_lengths = np.where(stored, lengths, 0)
    start = (np.cumsum(kept_lengths) - kept_lengths)[stored_by]
    return Histories(flat[stored[row]], start, start + lengths)


def _first_of_run(is_first: NDArray[np.bool_]) -> Integers:
    """For each position, the position where its run of equal keys began."""
    return np.maximum.accumulate(np.where(is_first, np.arange(len(is_first)), 0))
