"""The ranking task's view of a data set: who likes what, what they have met, and what is to be found in a part."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS, Part
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError
from ccf_llm.io.mapped import by_rows, stacked

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True)
class Targets:
    """The users who come to like something in a part that they had not met before it."""

    users: Codes
    """(U,) user codes, ascending."""
    histories: list[Codes]
    """U times (h,) what the user liked in the earlier parts, oldest first; may be empty."""
    seen: list[Codes]
    """U times the item codes that the user met in the earlier parts, liked or not, ascending."""
    items: list[Codes]
    """U times the item codes to be found, ascending; none of them is in `seen`, as lists leave out what was met."""

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of several moments, one after the other; a user may come more than once."""
        lists = ([own for part in parts for own in getattr(part, name)] for name in ("histories", "seen", "items"))
        return cls(np.concatenate([part.users for part in parts]), *lists)

    def take(self, people: NDArray[np.int64]) -> Self:
        """Some of the users."""
        lists = ([of[i] for i in people] for of in (self.histories, self.seen, self.items))
        return type(self)(self.users[people], *lists)

    def among(self, items: Codes, n_items: int) -> Self:
        """The people who come to like one of these items, to be found among these alone: all others count as seen.

        Args:
            items: item codes.
            n_items: of the catalogue.
        """
        others = np.setdiff1d(np.arange(1, n_items + 1), items)
        found = [np.intersect1d(of, items) for of in self.items]
        some = np.array([len(of) > 0 for of in found], dtype=bool)
        taken = self.take(np.flatnonzero(some))
        return type(self)(
            taken.users,
            taken.histories,
            [np.union1d(of, others) for of in taken.seen],
            [of for of, there in zip(found, some, strict=True) if there],
        )


def likes_matrix(dataset: Dataset, *parts: Part, counts: bool = False) -> csr_matrix:
    """(n_users + 1, n_items + 1) float32, 1 where the user likes the item by the interactions of `parts`.

    Indexed by user and item code; row and column 0 are empty. No part named: all interactions. The latest label of an
    item counts. With `counts` a cell is the number of likes (plays, purchases) instead.
    """
    pairs = pairs_of(dataset, parts).filter("liked")
    return _matrix(dataset, pairs, pairs["times"].to_numpy() if counts else np.ones(len(pairs)), np.float32)


def dislikes_matrix(dataset: Dataset, *parts: Part) -> csr_matrix:
    """As `likes_matrix`, 1 where the user met the item and does not like it by the latest label."""
    pairs = pairs_of(dataset, parts).filter(~pl.col("liked"))
    return _matrix(dataset, pairs, np.ones(len(pairs)), np.float32)


def like_times(dataset: Dataset, *parts: Part) -> csr_matrix:
    """The cells of `likes_matrix` with the second of the latest like instead, int64."""
    pairs = pairs_of(dataset, parts).filter("liked")
    return _matrix(dataset, pairs, pairs["latest"].to_numpy(), np.int64)


def mapped_likes(pieces: Iterable[Dataset], *parts: Part, scratch: Path | None = None) -> tuple[csr_matrix, csr_matrix]:
    """`likes_matrix` and `like_times` of a data set of any size, whose cells lie in files, as what ALS and SASRec make
    of them then does.

    Args:
        pieces: of the data set (`Dataset.pieces`), perhaps each split by its users' own time.
        parts: of the split; none: all interactions.
        scratch: on a disk, with 100 bytes a like while a model is fitted; the system's by default.
    """
    times = (like_times(piece, *parts) for piece in pieces)
    rows = (cells[number > 0 :] for number, cells in enumerate(times))  # the row of code 0 stands once
    seconds = stacked(rows, Path(tempfile.gettempdir()) if scratch is None else scratch)
    return by_rows(seconds, _ones), seconds


def seen_matrix(dataset: Dataset, *parts: Part) -> csr_matrix:
    """As `likes_matrix`, 1 wherever the user met the item, liked or not."""
    pairs = pairs_of(dataset, parts)
    return _matrix(dataset, pairs, np.ones(len(pairs)), np.float32)


def targets(dataset: Dataset, part: Part) -> Targets:
    """Whom a part asks for, what is known of them before it, and what they then like.

    Known is what the earlier parts hold. Raises `CCFError` where nobody likes anything new in the part.
    """
    earlier = PARTS[: PARTS.index(part)]
    known = pairs_of(dataset, earlier) if earlier else pairs_of(dataset, (part,)).clear()
    found = pairs_of(dataset, (part,)).filter("liked").join(known, on=["user", "item"], how="anti").sort("user", "item")
    if not len(found):
        raise CCFError(f"{part}: nobody likes anything new in it; choose another split, or a lower like threshold")
    users = found["user"].unique().sort()
    liked = known.filter("liked").sort("user", "place")
    return Targets(
        users.to_numpy(),
        histories=_by_user(liked, users),
        seen=_by_user(known.sort("user", "item"), users),
        items=_by_user(found, users),
    )


def pairs_of(dataset: Dataset, parts: tuple[Part, ...]) -> pl.DataFrame:
    """Each user and item of the parts' interactions once: user, item, whether it is liked by its latest label, how many
    times it was, the second of the latest like, the place where the user began to like it, and the one where they met.

    Histories that a source gives hold no times and play no part.
    """
    rows, order = dataset.rows(), dataset.oldest_first
    places = np.arange(len(order), dtype=np.uint32)
    if parts:
        if "split" not in dataset.interactions.columns:
            raise CCFError(f"data set {dataset.name!r} has no split; make one with `ccf-llm data split --by user`")
        places = places[dataset.interactions["split"].is_in(parts).fill_null(False).to_numpy()[order]]
    order = order[places]
    users, items = rows.users[order].astype(np.int32), rows.items[order].astype(np.int32)
    paired = np.lexsort((items, users))  # of one pair the oldest first
    users, items, places, order = users[paired], items[paired], places[paired], order[paired]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    like = rows.labels[order] == 1
    begins = like & (first | ~np.roll(like, 1))
    starts = np.flatnonzero(first)
    liked_last, begun_last = (_last_of_each(rows, starts) for rows in (like, begins))
    pairs = pl.DataFrame(
        {
            "user": users[starts].astype(np.int64),
            "item": items[starts].astype(np.int64),
            "liked": like[np.append(starts, len(like))[1:] - 1],
            "times": np.diff(np.append(0, np.cumsum(like))[np.append(starts, len(like))]).astype(np.uint32),
            "latest": rows.timestamps[order[liked_last]],
            "place": places[begun_last],
            "met": places[starts],
        }
    )
    liked_ever = pl.when(pl.Series(liked_last >= 0))
    return pairs.with_columns(liked_ever.then(pl.col("latest", "place")).name.keep()).sort("met")


def _last_of_each(rows: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(G,) the last of the rows in each of the groups that begin at `starts`; -1 where there is none."""
    numbered = np.where(rows, np.arange(len(rows)), -1)
    return np.maximum.reduceat(numbered, starts) if len(starts) else numbered


def _matrix(dataset: Dataset, pairs: pl.DataFrame, values: NDArray[Any], dtype: type) -> csr_matrix:
    shape = (len(dataset.user_vocabulary) + 1, len(dataset.item_vocabulary) + 1)
    matrix = csr_matrix((values.astype(dtype), (pairs["user"].to_numpy(), pairs["item"].to_numpy())), shape=shape)
    matrix.sort_indices()
    return matrix


def _ones(cells: csr_matrix) -> csr_matrix:
    return csr_matrix((np.ones(cells.nnz, dtype=np.float32), cells.indices, cells.indptr), shape=cells.shape)


def _by_user(pairs: pl.DataFrame, users: pl.Series) -> list[Codes]:
    """The items of each of the users, in the order of `pairs`, which stand by user."""
    begins, ends = (np.searchsorted(pairs["user"].to_numpy(), users.to_numpy(), side=side) for side in _SIDES)
    items = pairs["item"].to_numpy()
    return [items[begin:end] for begin, end in zip(begins, ends, strict=True)]
