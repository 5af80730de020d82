"""Ranked lists as a table: who was shown what, where, and whether it was right. All ranking figures come from it alone.

One row is one place of one list:

    method     whose list
    seed       of its training; a file without the column holds one seed, 0
    user_id    for whom
    item_id    what stands there
    rank       where, from 1
    score      what decided the order: never higher than at the rank before
    relevant   whether the item is one of the user's targets
    targets    how many the user has in the part that is measured, found or not

A list without any item is one row without item and score, of rank 0: its user counts all the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.ids import id_column
from ccf_llm.errors import CCFError
from ccf_llm.io.parquet import read_parquet, write_parquet

COLUMNS = {
    "method": pl.String,
    "seed": pl.Int64,
    "user_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int64,
    "score": pl.Float64,
    "relevant": pl.Boolean,
    "targets": pl.Int64,
}
LIST = ["method", "seed", "user_id"]
"""What tells one list from another."""

Marks = Any
"""(B, n_items) a mask of NumPy or a sparse matrix of SciPy; what is not 0 is marked."""


def read_lists(path: Path) -> pl.DataFrame:
    """The lists of a Parquet file, checked; raises `CCFError` that names the file and its first fault."""
    return check_lists(read_parquet(path), str(path))


def write_lists(lists: pl.DataFrame, path: Path) -> None:
    """Check lists and write them to a Parquet file."""
    write_parquet(check_lists(lists), path)


def top_lists(
    method: str,
    users: Sequence[str],
    items: Sequence[str],
    scores: NDArray[np.floating[Any]],
    *,
    seen: Marks,
    targets: Marks,
    k: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """The first `k` items of each user by score, as lists; batches are joined by `polars.concat`.

    Of equal scores the item of the smaller code comes first. What a user has seen is left out, and so is what has the
    score NaN or minus infinity, so that only candidates may have one; such a list may be shorter than k, or empty.

    Args:
        method: whose scores they are.
        users: (B,) ids.
        items: (n_items,) ids by code: code c stands in column c - 1.
        scores: (B, n_items), higher is better.
        seen, targets: (B, n_items) what is left out, and what is right.
        k: length of the lists.
        seed: of the method's training.

    Raises:
        CCFError: shapes that do not fit, an infinite score, or an item that is both seen and a target.
    """
    shape = (len(users), len(items))
    for name, matrix in (("scores", scores), ("seen", seen), ("targets", targets)):
        if matrix.shape != shape:
            raise CCFError(f"{name}: shape {matrix.shape} for {shape[0]} users and {shape[1]} items; give {shape}")
    if k < 1 or not len(items):
        raise CCFError(f"lists of {k} out of {len(items)} items; give at least one of each")
    if (beyond := scores == np.inf).any():
        raise CCFError(
            f"scores of {method}: infinite for user {users[int(np.nonzero(beyond)[0][0])]}; give finite ones"
        )
    left, right = (np.ravel_multi_index(marks.nonzero(), shape) for marks in (seen, targets))
    if len(both := np.intersect1d(left, right)):
        user, item = divmod(int(both[0]), shape[1])
        raise CCFError(f"targets: user {users[user]} has seen item {items[item]}, so no list can hold it; take it out")
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    ranked[np.unravel_index(left, shape)] = -np.inf
    row, column, rank = _first(ranked, k)
    empty = np.setdiff1d(np.arange(shape[0]), row)
    asked = pl.Series(np.concatenate([row, empty]))
    counts = np.bincount(right // shape[1], minlength=shape[0])
    none = pl.Series([None] * len(empty))
    found = pl.DataFrame(
        {
            "user_id": pl.Series(users, dtype=pl.String).gather(asked),
            "item_id": pl.Series(items, dtype=pl.String).gather(column).append(none.cast(pl.String)),
            "rank": np.concatenate([rank, np.zeros(len(empty), dtype=np.int64)]),
            "score": pl.Series(ranked[row, column], dtype=pl.Float64).append(none.cast(pl.Float64)),
            "relevant": np.concatenate([np.isin(row * shape[1] + column, right), np.zeros(len(empty), dtype=bool)]),
            "targets": counts[asked.to_numpy()],
        }
    )
    return found.select(pl.lit(method).alias("method"), pl.lit(seed, dtype=pl.Int64).alias("seed"), pl.all())


def _first(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, column and rank of the k best of each row, in order; minus infinity is never among them."""
    n_items = scores.shape[1]
    k = min(k, n_items)
    lowest = np.partition(scores, n_items - k, axis=1)[:, n_items - k, None]
    row, column = np.nonzero((scores >= lowest) & (scores > -np.inf))  # all that tie with the last, too
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
    kept = rank <= k
    return row[kept], column[kept], rank[kept]


def check_lists(lists: pl.DataFrame, what: str = "lists") -> pl.DataFrame:
    """The lists with the types of `COLUMNS`, by method in the order of the table, then seed, user and rank.

    Raises:
        CCFError: the first thing in them that cannot be; `what` names the table.
    """
    lists = _typed(lists, what)
    methods = pl.Enum(lists["method"].unique(maintain_order=True))
    lists = lists.sort(pl.col("method").cast(methods), "seed", "user_id", "rank")
    seen = lists.with_columns(
        place=pl.int_range(1, pl.len() + 1).over(LIST),
        size=pl.len().over(LIST),
        above=pl.col("score").shift(1).over(LIST),
        found=pl.col("relevant").sum().over(LIST),
    )
    shown, rank, score, relevant, targets = map(pl.col, ("item_id", "rank", "score", "relevant", "targets"))
    empty, shown = shown.is_null(), shown.is_not_null()
    filled = (pl.col("size") > 1) | (rank != 0) | score.is_not_null() | relevant
    one_part = "all lists must be of one part"
    faults = {
        "a row without item must be the list's only one, of rank 0 and without score": empty & filled,
        "item {item_id} stands twice in the list; keep one": shown & pl.struct(*LIST, "item_id").is_duplicated(),
        "rank {rank} where {place} is due; ranks of a list are 1, 2, 3 and so on": shown & (rank != pl.col("place")),
        "the score of rank {rank} is {score}; give finite numbers": shown & ~score.is_finite().fill_null(False),
        "the score rises at rank {rank}; lists are in the order of their scores": score > pl.col("above"),
        "{targets} targets; a number from 0 on is needed": targets < 0,
        f"targets differ between the user's rows; {one_part}": targets.n_unique().over("user_id") > 1,
        "{found} relevant items but {targets} targets; targets are all that could be found": pl.col("found") > targets,
        f"item {{item_id}} is relevant in one list and not in another; {one_part}": shown
        & (relevant.n_unique().over("user_id", "item_id") > 1),
    }
    for fault, wrong in faults.items():
        if len(first := seen.filter(wrong).head(1)):
            row = first.row(0, named=True)
            raise CCFError(f"{what}: method {row['method']}, user {row['user_id']}: {fault.format(**row)}")
    _check_seeds(lists, what)
    return lists


def _typed(lists: pl.DataFrame, what: str) -> pl.DataFrame:
    """The columns of `COLUMNS` in their types."""
    if "seed" not in lists.columns:
        lists = lists.with_columns(pl.lit(0, dtype=pl.Int64).alias("seed"))
    for name in COLUMNS:
        if name not in lists.columns:
            needed = ", ".join(column for column in COLUMNS if column != "seed")
            raise CCFError(f"{what}: no column `{name}`; lists have {needed}")
    if not len(lists):
        raise CCFError(f"{what}: there is no list in it")
    shown = lists["item_id"].is_not_null()
    items = id_column(lists["item_id"].filter(shown), what)
    where = shown.cum_sum().cast(pl.Int64) - 1
    lists = lists.with_columns(
        id_column(lists["user_id"], what),
        items.gather(where.zip_with(shown, pl.Series([None], dtype=pl.Int64))).alias("item_id"),
    )
    for name, wanted in COLUMNS.items():
        column = lists[name]
        fits = column.dtype == wanted or {
            pl.String: column.dtype in (pl.Categorical, pl.Enum),
            pl.Int64: column.dtype.is_integer(),
            pl.Float64: column.dtype.is_numeric(),
        }.get(wanted, False)
        if not fits:
            raise CCFError(f"{what}: column `{name}` has the type {column.dtype}; {wanted} is needed")
        if name not in ("item_id", "score") and column.null_count():
            raise CCFError(f"{what}: no {name} in row {int(column.is_null().arg_true()[0])}; every row needs one")
    return lists.select(pl.col(name).cast(wanted) for name, wanted in COLUMNS.items())


def _check_seeds(lists: pl.DataFrame, what: str) -> None:
    """Every seed of a method must have lists for the same users, as they are averaged user by user."""
    method, seeds = pl.col("method"), pl.col("seed").n_unique()
    wrong = lists.select(*LIST).unique().with_columns(seeds.over(method).alias("all"))
    wrong = wrong.filter(seeds.over(method, "user_id") < pl.col("all")).sort(LIST)
    if len(wrong):
        name, _, user, _ = wrong.row(0)
        raise CCFError(f"{what}: method {name}, user {user}: not every seed has a list; write those of all seeds")
