"""Splitting by time: train on the past, choose on what follows, test on the end."""

from dataclasses import replace

import numpy as np
import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS, SplitManifest, part_records
from ccf_llm.errors import CCFError


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

    Raises `CCFError` where the shares leave a part empty.
    """
    if not (train > 0 and valid > 0 and train + valid < 1):
        raise CCFError(f"split: train {train} and valid {valid} must be above 0 and leave a share for test")
    if max_rows_per_user is not None and max_rows_per_user < 1:
        raise CCFError(f"split: max_rows_per_user is {max_rows_per_user}; give at least 1, or leave it out")
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
        frame, left_out = _thin(frame, max_rows_per_user, seed)
    records = part_records(frame, left_out)
    for name in PARTS:
        if records[name].rows == 0:
            raise CCFError(f"split: the {name} part is empty; too few distinct timestamps for these shares")
    manifest = SplitManifest(
        rule="global time",
        parts=records,
        fractions={"train": train, "valid": valid, "test": round(1 - train - valid, 9)},
        cut_times={"valid": first_valid, "test": first_test},
        max_rows_per_user=max_rows_per_user,
        seed=seed if max_rows_per_user is not None else None,
    )
    return replace(dataset, interactions=frame, split=manifest, source=None)


def _thin(frame: pl.DataFrame, most: int, seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Set the part to null for all but `most` rows of each user in valid and in test; count them per part."""
    draw = pl.Series("draw", np.random.default_rng(seed).permutation(len(frame)))
    rank = pl.col("draw").rank("ordinal").over("split", "user_id")
    stays = (pl.col("split") == "train") | (rank <= most)
    thinned = frame.with_columns(draw).with_columns(stays.alias("stays"))
    left_out: dict[str, int] = {
        part: thinned.filter((pl.col("split") == part) & ~pl.col("stays")).height for part in PARTS
    }
    kept = thinned.with_columns(pl.when("stays").then("split").alias("split"))
    return kept.drop("draw", "stays"), left_out
