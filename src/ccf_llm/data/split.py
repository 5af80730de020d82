"""Splitting by time: train on the past, choose on what follows, test on the end. Without times, by lot.

The rating task is measured by moments common to all (`global_time_split`); ranking, by each user's own time
(`user_time_split`, `leave_last_out`), so that nearly every user has something to be found.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.lots import lot, lots_of_rows
from ccf_llm.data.manifest import PARTS, By, NewItemsBy, PartRecord, SplitManifest, part_records, rows_of
from ccf_llm.data.new_items import hold_out_items
from ccf_llm.errors import CCFError


def split_dataset(
    dataset: Dataset,
    train: float | None = None,
    valid: float = 0.1,
    *,
    by: By = "global",
    max_rows_per_user: int | None = None,
    seed: int = 0,
    new_items: float = 0.0,
    new_items_by: NewItemsBy = "time",
) -> Dataset:
    """The data set split by the rule that `by` names; global where nobody knows the times: by lot.

    `train` None is .8 and, by each user's time, .7. Only the global rules thin (`max_rows_per_user`) and draw (`seed`).
    With `new_items` above 0 that share of the items is then held out of train and valid (see `hold_out_items`).
    """
    if not 0 <= new_items < 1:
        raise CCFError(f"split: new_items {new_items} is a share of the items; give 0 or more, and less than 1")
    if new_items_by not in get_args(NewItemsBy):
        raise CCFError(f"split: new_items_by {new_items_by!r} is none of {', '.join(get_args(NewItemsBy))}")
    parts = _by_rule(dataset, train, valid, by, max_rows_per_user, seed)
    return hold_out_items(parts, new_items, by=new_items_by, seed=seed) if new_items else parts


def _by_rule(
    dataset: Dataset, train: float | None, valid: float, by: By, max_rows_per_user: int | None, seed: int
) -> Dataset:
    if by not in get_args(By):
        raise CCFError(f"split: by {by!r} is none of {', '.join(get_args(By))}")
    if by == "global":
        how = global_time_split if dataset.reading.timed else drawn_split
        train = 0.8 if train is None else train
        return how(dataset, train, valid, max_rows_per_user=max_rows_per_user, seed=seed)
    if max_rows_per_user is not None:
        raise CCFError(f"split: max_rows_per_user thins a global split only; leave it out by {by!r}")
    if by == "user":
        return user_time_split(dataset, 0.7 if train is None else train, valid)
    if train is not None:
        raise CCFError("split: train is a share, and by 'last' there is none; leave it out")
    return leave_last_out(dataset)


def global_time_split(
    dataset: Dataset,
    train: float = 0.8,
    valid: float = 0.1,
    *,
    max_rows_per_user: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The data set with every interaction put into train, valid or test by two moments common to all users.

    The oldest share `train` of the interactions is train, the next share `valid` is valid, the rest is test. Rows of
    the same second are never torn apart: all of them go to the later part.

    `max_rows_per_user` thins valid and test, not train: of each user a seeded sample of at most so many rows stays, so
    that many users are measured by few rows each. The others get no part (null); they still happened, so they count
    for histories.

    In data where a user rates everything in one sitting, such as MovieLens-100K, most users of the last days were never
    there before: of the 166 users in the last tenth, 69 have training rows. Warm and cold users both occur in test,
    and are to be reported apart.

    Raises `CCFError` where the shares leave a part empty, or there are no times.
    """
    _check_shares(train, valid, max_rows_per_user)
    _check_times(dataset)
    frame = dataset.interactions
    ordered = np.sort(frame["timestamp"].to_numpy())
    first_valid = int(ordered[int(len(ordered) * train)])
    # Rounded first: .8 + .1 is a little less than .9 in floating point, which would move the cut by a row.
    first_test = int(ordered[int(len(ordered) * round(train + valid, 9))])
    time = pl.col("timestamp")
    part = pl.when(time < first_valid).then(pl.lit("train")).when(time < first_test).then(pl.lit("valid"))
    frame = frame.with_columns(part.otherwise(pl.lit("test")).alias("split"))
    left_out: dict[str, int] = {}
    if max_rows_per_user is not None:
        draw = pl.Series("draw", np.random.default_rng(seed).permutation(len(frame)))
        frame, left_out = _thin(frame, max_rows_per_user, draw)
    manifest = SplitManifest(
        rule="global time",
        parts=_records(frame, left_out),
        fractions=_fractions(train, valid),
        cut_times={"valid": first_valid, "test": first_test},
        max_rows_per_user=max_rows_per_user,
        seed=seed if max_rows_per_user is not None else None,
    )
    return _with_split(dataset, frame, manifest)


def user_time_split(dataset: Dataset, train: float = 0.7, valid: float = 0.1) -> Dataset:
    """The data set with the rows of every user put into train, valid and test by the user's own time.

    The oldest share `train` of a user's likes is train, the next share `valid` is valid, the rest is test, rounded so
    that test is never short of its share; a user's first like is always train. Likes are what ranking is taught and
    measured by, so they make the shares. Dislikes keep their places in time: each goes where the user's next like
    goes, those after the last like to test.

    Rows of the same second stand in the order of the data set, by item, and may be torn apart; they still know nothing
    of each other. Raises `CCFError` where the shares leave a part empty, or there are no times.
    """
    _check_shares(train, valid, None)
    likes = pl.col("likes")
    # Rounded first, for .7 * 10 is a little less than 7 in floating point, and so is .7 + .1 than .8.
    first_valid, first_test = ((likes * share).round(9).floor() for share in (train, round(train + valid, 9)))
    frame = _parted(dataset, first_valid, first_test)
    records = _records(frame, {}, "too few likes per user for these shares")
    return _with_split(
        dataset, frame, SplitManifest(rule="user time", parts=records, fractions=_fractions(train, valid))
    )


def leave_last_out(dataset: Dataset) -> Dataset:
    """The data set with every user's last like as test, the one before as valid and all earlier ones as train.

    A user's first like is always train: of two likes none is valid, and one alone is train. All else is as in
    `user_time_split`, whose `CCFError`s it raises.
    """
    likes = pl.col("likes")
    frame = _parted(dataset, likes - 2, likes - 1)
    records = _records(frame, {}, "no user has three likes")
    return _with_split(dataset, frame, SplitManifest(rule="last like out", parts=records))


def drawn_split(
    dataset: Dataset,
    train: float = 0.8,
    valid: float = 0.1,
    *,
    max_rows_per_user: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The data set with the rows of every user dealt out to train, valid and test by lot, in these shares.

    Every user keeps at least one row in train. A row's lot is a hash of seed, user and item, so the order of the rows
    has no say. Histories hold rows of train alone (see `Dataset.rows`). `max_rows_per_user` thins valid and test, as
    `global_time_split` does.

    Raises `CCFError` where the shares leave a part empty.
    """
    _check_shares(train, valid, max_rows_per_user)
    frame = dataset.interactions
    offsets = {user: lot(seed, user) / 2**63 for user in frame["user_id"].unique()}
    offset = pl.Series("offset", [offsets[user] for user in frame["user_id"]])
    frame = frame.with_columns(lots_of_rows(frame, seed), offset)
    place = pl.col("draw").rank("ordinal").over("user_id") - 1
    # Where the user's first row lies between two of the shares' borders is drawn too, else users of few rows would all
    # have the same parts.
    where = (place + pl.col("offset")) / pl.len().over("user_id")
    part = pl.when((place == 0) | (where < train)).then(pl.lit("train")).when(where < round(train + valid, 9))
    frame = frame.with_columns(part.then(pl.lit("valid")).otherwise(pl.lit("test")).alias("split"))
    left_out: dict[str, int] = {}
    if max_rows_per_user is not None:
        frame, left_out = _thin(frame, max_rows_per_user, frame["draw"])
    frame = frame.drop("draw", "offset", strict=False)
    manifest = SplitManifest(
        rule="drawn per user",
        parts=_records(frame, left_out),
        fractions=_fractions(train, valid),
        max_rows_per_user=max_rows_per_user,
        seed=seed,
    )
    return _with_split(dataset, frame, manifest)


def _one_kind(frame: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """The parts whose rows are all likes or all dislikes, and which."""
    for part in PARTS:
        labels = rows_of(frame, part)["label"]
        if labels.n_unique() == 1:
            yield part, "likes" if labels[0] == 1 else "dislikes"


def _check_shares(train: float, valid: float, max_rows_per_user: int | None) -> None:
    if not (train > 0 and valid > 0 and train + valid < 1):
        raise CCFError(f"split: train {train} and valid {valid} must be above 0 and leave a share for test")
    if max_rows_per_user is not None and max_rows_per_user < 1:
        raise CCFError(f"split: max_rows_per_user is {max_rows_per_user}; give at least 1, or leave it out")


def _fractions(train: float, valid: float) -> dict[str, float]:
    return {"train": train, "valid": valid, "test": round(1 - train - valid, 9)}


def _check_times(dataset: Dataset) -> None:
    if not dataset.reading.timed:
        raise CCFError(f"split: data set {dataset.name!r} has no times to split by; use split_dataset")


def _parted(dataset: Dataset, first_valid: pl.Expr, first_test: pl.Expr) -> pl.DataFrame:
    """The interactions with their part, by the number of the user's earlier likes at which valid and test begin.

    Both numbers may be said of the column `likes`, how many the user has in all.
    """
    _check_times(dataset)
    like = (pl.col("label") == 1).cast(pl.Int64)
    earlier = (like.cum_sum() - like).over("user_id")  # the frame stands by user, time and item
    later = pl.when(pl.col("earlier") < first_test).then(pl.lit("valid")).otherwise(pl.lit("test"))
    is_train = (pl.col("earlier") == 0) | (pl.col("earlier") < first_valid)
    part = pl.when(is_train).then(pl.lit("train")).otherwise(later)
    counted = dataset.interactions.with_columns(earlier=earlier, likes=like.sum().over("user_id"))
    return counted.with_columns(part.alias("split")).drop("earlier", "likes")


def _records(frame: pl.DataFrame, left_out: dict[str, int], reason: str | None = None) -> dict[str, PartRecord]:
    records = part_records(frame, left_out)
    for name in PARTS:
        if records[name].rows == 0:
            timed = frame["timestamp"].n_unique() > 1
            reason = reason or f"too few {'distinct timestamps' if timed else 'rows per user'} for these shares"
            raise CCFError(f"split: the {name} part is empty; {reason}")
    return records


def _with_split(dataset: Dataset, frame: pl.DataFrame, manifest: SplitManifest) -> Dataset:
    notes = list(_odd(frame))
    if manifest.rule == "drawn per user":
        notes.append("split: without times the rows were drawn per user; the figures say nothing about the future")
    reading = dataset.reading.with_notes(notes)
    return replace(dataset, interactions=frame, split=manifest, source=None, reading=reading)


def _odd(frame: pl.DataFrame) -> Iterator[str]:
    """What may make the measured figures useless."""
    train, test = (rows_of(frame, part) for part in ("train", "test"))
    for kind in ("user", "item"):
        tested = test[f"{kind}_id"].unique()
        new = int((~tested.is_in(train[f"{kind}_id"].unique().implode())).sum())
        if new > len(tested) / 2:
            yield (
                f"split: {new} of the {len(tested)} {kind}s in test have no row in train, so little is known of them"
            )
    for part, alone in _one_kind(frame):
        yield f"split: all rows of {part} are {alone}; the rating task needs likes and dislikes"


def _thin(frame: pl.DataFrame, most: int, draw: pl.Series) -> tuple[pl.DataFrame, dict[str, int]]:
    """Set the part to null for all but `most` rows of each user in valid and in test; count them per part."""
    rank = pl.col("draw").rank("ordinal").over("split", "user_id")
    stays = (pl.col("split") == "train") | (rank <= most)
    thinned = frame.with_columns(draw).with_columns(stays.alias("stays"))
    left_out: dict[str, int] = {
        part: thinned.filter((pl.col("split") == part) & ~pl.col("stays")).height for part in PARTS
    }
    kept = thinned.with_columns(pl.when("stays").then("split").alias("split"))
    return kept.drop("draw", "stays"), left_out
