"""Encoded interactions: integer codes in NumPy arrays, with the history of each row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ccf_llm.io.hashing import pieces_sha256

Codes = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """N interactions as codes, in the order of the data set. Code 0: padding, or a user or item not in the vocabulary.

    Histories are slices of one flat array: the history of row r is `likes[start[r]:end[r]]`, the items liked strictly
    before that row, oldest first. Rows of one user share their `start`, so their histories are prefixes of each other;
    that is what lets many targets share one pass of the language model.
    """

    users: Codes
    """(N,) user codes."""
    items: Codes
    """(N,) candidate item codes."""
    labels: NDArray[np.int8]
    """(N,) 1 liked, 0 not; -1 unknown (rows that only ask for a score)."""
    timestamps: NDArray[np.int64]
    """(N,) seconds."""
    likes: Codes
    """(L,) liked item codes, shared by all rows."""
    start: NDArray[np.int64]
    """(N,) where the history of each row starts in `likes`."""
    end: NDArray[np.int64]
    """(N,) where it ends (exclusive)."""
    user_words: NDArray[np.object_] | None = None
    """(N,) what is told of the user of each row, a text; None, or None for a row, where the user's code says it."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, index: NDArray[np.generic] | slice) -> Self:
        """The rows at `index` (integers, a boolean mask or a slice), with their histories."""
        return replace(
            self,
            users=self.users[index],
            items=self.items[index],
            labels=self.labels[index],
            timestamps=self.timestamps[index],
            start=self.start[index],
            end=self.end[index],
            user_words=None if self.user_words is None else self.user_words[index],
        )

    def history(self, row: int) -> Codes:
        """(h,) item codes liked before row `row`, oldest first."""
        return self.likes[self.start[row] : self.end[row]]

    def padded_histories(self, length: int) -> Codes:
        """(N, length) the last `length` liked items of each row, oldest first, padded with 0 on the left."""
        position = self.end[:, None] - length + np.arange(length)[None, :]
        inside = position >= self.start[:, None]
        if len(self.likes) == 0:
            return np.zeros((len(self), length), dtype=np.int64)
        return np.where(inside, self.likes[np.where(inside, position, 0)], 0)

    def recoded(self, users: Codes, items: Codes) -> Self:
        """The same rows in the codes of other vocabularies (see `Vocabulary.translated`).

        What another vocabulary does not know becomes code 0, and is left out of histories.
        """
        likes = items[self.likes]
        kept = likes > 0
        place = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept)])
        return replace(
            self,
            users=users[self.users],
            items=items[self.items],
            likes=likes[kept],
            start=place[self.start],
            end=place[self.end],
        )

    @property
    def sha256(self) -> str:
        """Hash of all rows in their order, histories included; what other rows share the flat array does not matter."""
        lengths = self.end - self.start
        start, group = np.unique(np.where(lengths > 0, self.start, -1), return_inverse=True)
        longest = np.zeros(len(start), dtype=np.int64)
        np.maximum.at(longest, group, lengths)
        begins = np.cumsum(longest) - longest
        flat = np.arange(longest.sum()) - np.repeat(begins - start, longest)
        columns = (self.users, self.items, self.labels, self.timestamps, lengths, group, longest, self.likes[flat])
        told = [] if self.user_words is None else [repr(words).encode() for words in self.user_words]
        return pieces_sha256([*(np.ascontiguousarray(column).tobytes() for column in columns), *told])

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, in order; the histories of one part stay apart from those of another."""
        offsets = np.cumsum([0, *(len(part.likes) for part in parts)])
        told = [part.user_words for part in parts]
        return cls(
            users=np.concatenate([part.users for part in parts]),
            items=np.concatenate([part.items for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            timestamps=np.concatenate([part.timestamps for part in parts]),
            likes=np.concatenate([part.likes for part in parts]),
            start=np.concatenate([part.start + offset for part, offset in zip(parts, offsets, strict=False)]),
            end=np.concatenate([part.end + offset for part, offset in zip(parts, offsets, strict=False)]),
            user_words=None if all(words is None for words in told) else np.concatenate(_filled(parts)),
        )

    @classmethod
    def for_lists(
        cls,
        users: Codes,
        histories: Sequence[Codes],
        lengths: NDArray[np.integer],
        items: Codes,
        found: NDArray[np.bool_],
    ) -> Self:
        """Rows of L lists, one list after the other, each with a history of its own.

        Args:
            users: (L,) for whom.
            histories: L times what they like, oldest first.
            lengths: (L,) rows of each list.
            items: (N,) what stands in the lists.
            found: (N,) whether it is to be found, which is the label.
        """
        sizes = np.array([len(history) for history in histories], dtype=np.int64)
        ends = np.cumsum(sizes)
        return cls(
            users=np.repeat(users, lengths),
            items=items,
            labels=found.astype(np.int8),
            timestamps=np.zeros(len(items), dtype=np.int64),
            likes=np.concatenate([np.zeros(0, dtype=np.int64), *histories]),
            start=np.repeat(ends - sizes, lengths),
            end=np.repeat(ends, lengths),
        )

    @classmethod
    def for_candidates(cls, history: Codes, candidates: Codes, *, user: int = 0, user_words: str | None = None) -> Self:
        """Rows that ask for a score of each candidate for one user, known by code, by history, by words, or by all."""
        n = len(candidates)
        return cls(
            users=np.full(n, user, dtype=np.int64),
            items=np.asarray(candidates, dtype=np.int64),
            labels=np.full(n, -1, dtype=np.int8),
            timestamps=np.zeros(n, dtype=np.int64),
            likes=np.asarray(history, dtype=np.int64),
            start=np.zeros(n, dtype=np.int64),
            end=np.full(n, len(history), dtype=np.int64),
            user_words=None if user_words is None else np.full(n, user_words, dtype=object),
        )


def _filled(parts: Sequence[Rows]) -> list[NDArray[np.object_]]:
    """The words on the users of each part; None for each row of a part without any."""
    return [np.full(len(part), None) if part.user_words is None else part.user_words for part in parts]
