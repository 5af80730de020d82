"""What each user liked before each interaction."""

from itertools import groupby
from operator import itemgetter
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


class _Turns(NamedTuple):
    """Where a user's mind turns."""

    begins: NDArray[np.bool_]
    """(N,) where a user begins to like an item."""
    taken_back: NDArray[np.bool_]
    """(N,) where a like is taken back by a later label of 0."""


def rolling_histories(users: Codes, items: Codes, labels: NDArray[np.int8], timestamps: Integers) -> Histories:
    """The histories of N interactions: what the user likes at a timestamp STRICTLY before the row's own.

    Rows of one user at the same second know nothing of each other: what was rated together may not leak. An item stands
    in a history once, where it was first liked, and no longer once its latest label is 0: the latest one counts.
    Likes of the same second stand in the order of the item codes, whatever the order of the rows.
    """
    return _rolling(users, items, timestamps, _turns(users, items, labels, timestamps))


def _rolling(users: Codes, items: Codes, timestamps: Integers, turns: _Turns) -> Histories:
    begins, taken_back = turns
    order = _order(items, timestamps, users)
    user, time = users[order], timestamps[order]
    liked: NDArray[np.bool_] = begins[order]
    before: Integers = np.cumsum(liked) - liked  # likes in the sorted rows above each row, all users counted
    new_user = np.ones(len(order), dtype=bool)
    new_user[1:] = user[1:] != user[:-1]
    new_second = new_user.copy()
    new_second[1:] |= time[1:] != time[:-1]
    start, end = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    start[order] = before[_first_of_run(new_user)]
    end[order] = before[_first_of_run(new_second)]
    histories = Histories(items[order][liked], start, end)
    changed = order[np.isin(user, users[taken_back])]
    return _replayed(histories, changed, users, items, timestamps, begins, taken_back) if len(changed) else histories


def _turns(users: Codes, items: Codes, labels: NDArray[np.int8], timestamps: Integers) -> _Turns:
    in_time = _order(timestamps, users)
    pairs = users[in_time] * (items.max(initial=0) + 1) + items[in_time]
    by_pair = np.argsort(pairs, kind="stable")  # of one user and item the oldest first
    order = in_time[by_pair]
    same = np.zeros(len(order), dtype=bool)
    same[1:] = np.diff(pairs[by_pair]) == 0
    liked = labels[order] == 1
    was_liked = np.zeros(len(order), dtype=bool)
    was_liked[1:] = liked[:-1] & same[1:]
    begins, taken_back = np.empty(len(order), dtype=bool), np.empty(len(order), dtype=bool)
    begins[order], taken_back[order] = liked & ~was_liked, ~liked & was_liked
    return _Turns(begins, taken_back)


def _order(*keys: Integers) -> Integers:
    """Of the rows by the last key, then the one before and so on: `np.lexsort`, but for rows that stand so already."""
    equal = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    rises = ~equal
    for key in reversed(keys):
        rises |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return np.arange(len(keys[0])) if (rises | equal).all() else np.lexsort(keys)


def _replayed(
    histories: Histories,
    rows: Integers,
    users: Codes,
    items: Codes,
    timestamps: Integers,
    begins: NDArray[np.bool_],
    taken_back: NDArray[np.bool_],
) -> Histories:
    """The histories of users who took a like back, event by event: each such turn begins a segment of its own.

    `rows` are all rows of these users, by user and time.
    """
    start, end = histories.start.copy(), histories.end.copy()
    likes, offset = [histories.likes], len(histories.likes)
    for mine in np.split(rows, np.flatnonzero(np.diff(users[rows])) + 1):
        events = zip(*(of[mine].tolist() for of in (timestamps, items, begins, taken_back)), strict=True)
        segments, current = [list[int]()], dict[int, None]()
        begun, length = list[int](), list[int]()
        for _, together in groupby(events, key=itemgetter(0)):  # the rows of one second
            gone, known, segment = [], len(segments[-1]), segments[-1]
            for _, item, begins_here, taken_back_here in together:
                begun.append(offset)
                length.append(known)
                if begins_here:
                    current[item] = None
                    segment.append(item)
                elif taken_back_here:
                    gone.append(item)
            if gone:
                offset += len(segment)
                for item in gone:
                    current.pop(item)
                segments.append(list(current))
        offset += len(segments[-1])
        start[mine], end[mine] = begun, np.add(begun, length)
        likes += [np.array(segment, dtype=np.int64) for segment in segments]
    return Histories(np.concatenate(likes), start, end)


def within_parts(
    users: Codes, items: Codes, labels: NDArray[np.int8], timestamps: Integers, parts: Integers
) -> tuple[Histories, int]:
    """The rolling histories of rows in parts that are numbered in their order, such as train 0, valid 1 and test 2.

    Rows of part -1 are in none: they are measured nowhere, count for all others, and know of all.

    In a split that is not by time a training row may come after a test row. What its history then holds of the later
    part is an answer, and is left out: a row knows the rows of its own part and of earlier ones only.

    Returns:
        The histories, and how many of them would have held something of a later part.
    """
    turns = _turns(users, items, labels, timestamps)
    whole = _rolling(users, items, timestamps, turns)
    leaks = _knows_later_parts(users, timestamps, turns, parts)
    likes, start, end = whole.likes, whole.start.copy(), whole.end.copy()
    for part in np.unique(parts[leaks]):
        known = np.flatnonzero(parts <= part)
        own = rolling_histories(users[known], items[known], labels[known], timestamps[known])
        mine = parts[known] == part
        start[known[mine]], end[known[mine]] = own.start[mine] + len(likes), own.end[mine] + len(likes)
        likes = np.concatenate([likes, own.likes])
    return Histories(likes, start, end), int(leaks.sum())


def _knows_later_parts(users: Codes, timestamps: Integers, turns: _Turns, parts: Integers) -> NDArray[np.bool_]:
    """(N,) rows before which, in time, the user began or ceased to like an item in a row of a later part."""
    order = _order(timestamps, users)
    user, time, part = users[order], timestamps[order], parts[order]
    above = int(parts.max(initial=0)) + 2
    latest = np.maximum.accumulate(user * above + np.where((turns.begins | turns.taken_back)[order], part + 1, 0))
    new_second = np.ones(len(order), dtype=bool)
    new_second[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    previous = _first_of_run(new_second) - 1  # the last row of an earlier second, perhaps another user's
    leaks = np.empty(len(order), dtype=bool)
    leaks[order] = (part >= 0) & (previous >= 0) & (latest[previous] > user * above + part + 1)
    return leaks


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
