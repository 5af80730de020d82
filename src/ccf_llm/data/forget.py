"""Leaving people out of a data set."""

from collections.abc import Collection
from dataclasses import replace

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import part_records
from ccf_llm.errors import CCFError


def without_users(dataset: Dataset, users: Collection[str]) -> Dataset:
    """The data set without what these users did and what is told of them; a split stays, and counts what is left.

    Raises:
        CCFError: nobody is left.
    """
    others = ~pl.col("user_id").is_in(list(users))
    frame, split = dataset.interactions.filter(others), dataset.split
    if len(frame) == 0:
        raise CCFError(f"data set {dataset.name!r}: no interactions are left without these users; leave fewer out")
    if split is not None:
        left_out = {part: record.left_out for part, record in split.parts.items()}
        split = split.model_copy(update={"parts": part_records(frame, left_out)})
    told = None if dataset.users is None else dataset.users.filter(others)
    return replace(dataset, interactions=frame, users=told, split=split, source=None)
