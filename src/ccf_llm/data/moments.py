"""Moments of train that all people share: what a model that is asked at one time for all can learn from."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS, SplitManifest, part_records
from ccf_llm.errors import CCFError


def moments(dataset: Dataset, count: int, earliest: float = 0.3) -> list[Dataset]:
    """The data set as it stood at so many moments: its train rows before one as train, and those until the next as
    valid.

    A cut through one person's past (`draw_cuts`) asks a retriever that knows the likes of all others, later ones too:
    no item is new to it, and what is liked of late has been for years. Here all that is asked knows what was there,
    and nothing else, as where the split is by one time for all and lists are measured.

    Args:
        dataset: with a split, and times.
        count: of moments; between them lie as many rows each.
        earliest: share of the train rows that lie before the first.

    Raises:
        CCFError: no times, no split, or too few of them for so many moments.
    """
    frame = dataset.interactions
    if dataset.split is None or not dataset.reading.timed:
        raise CCFError(f"moments: data set {dataset.name!r} has no split or no times; give both, or leave moments out")
    train = pl.col("split") == "train"
    ordered = np.sort(frame.filter(train)["timestamp"].to_numpy())
    places = (len(ordered) * np.linspace(earliest, 1, count + 1)[:-1]).astype(np.int64)
    bounds = [*ordered[places].tolist(), int(ordered[-1]) + 1]
    if len(set(bounds)) < len(bounds) or bounds[0] == ordered[0]:
        raise CCFError(f"moments: the train rows have too few distinct times for {count}; lower moments")
    return [split_at(dataset, cuts, among=train) for cuts in pairwise(bounds)]


def split_at(dataset: Dataset, cuts: Sequence[int], among: pl.Expr | None = None) -> Dataset:
    """The data set split at these seconds: train before the first, valid before the second, test before a third.

    Later rows have no part, nor those that are not `among`, where that is given.
    """
    rows = pl.lit(True) if among is None else among
    before = zip(PARTS, cuts, strict=False)  # without a third there is no test
    parts = [pl.when(rows & (pl.col("timestamp") < cut)).then(pl.lit(part)) for part, cut in before]
    frame = dataset.interactions.with_columns(pl.coalesce(parts).alias("split"))
    times: dict[str, int] = dict(zip(PARTS[1:], cuts, strict=False))
    split = SplitManifest(rule="a moment", parts=part_records(frame, {}), cut_times=times)
    return replace(dataset, interactions=frame, split=split, source=None)
