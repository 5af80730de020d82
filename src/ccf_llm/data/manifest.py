"""What is recorded about a split, so that it can be told apart from any other."""

import hashlib
from typing import Literal, get_args

import polars as pl

from ccf_llm.data.slices import slices
from ccf_llm.errors import CCFError
from ccf_llm.settings import Settings

By = Literal["global", "user", "last"]
"""Whose time decides of a split: one for all, each user's own in shares of the likes, or each user's last likes."""
NewItemsBy = Literal["time", "drawn"]
"""Which items a split holds out as new: those that were first met last, or some by lot."""
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
_EVENT = ("user_id", "item_id", "timestamp")


class PartRecord(Settings):
    """One part of a split."""

    rows: int
    """Interactions in the part."""
    sha256: str
    """Hash of the part's (user_id, item_id, timestamp), whatever their order."""
    left_out: int = 0
    """Interactions of the part's time span that were left out; they still count for histories."""


class NewItems(Settings):
    """Items that a split holds out: all of their rows are test."""

    share: float
    """Of the items that somebody has met, as asked for."""
    by: NewItemsBy
    """How they were chosen."""
    seed: int
    """Of their lots."""
    items: tuple[str, ...]
    """Their ids, sorted."""


class SplitManifest(Settings):
    """How the interactions were divided into train, valid and test."""

    rule: str
    """`global time`, `user time`, `last like out`, `drawn per user` or `given by the source`."""
    parts: dict[str, PartRecord]
    """Per part, its rows and their hash."""
    fractions: dict[str, float] | None = None
    """Shares asked for, per part."""
    cut_times: dict[str, int] | None = None
    """First second of valid and of test."""
    max_rows_per_user: int | None = None
    """At most so many rows of a user in valid and in test."""
    seed: int | None = None
    """Seed of the choice of those rows."""
    new_items: NewItems | None = None
    """Items that were taken out of train and valid."""

    def check(self, interactions: pl.DataFrame, where: str) -> None:
        """Raise `CCFError` if the rows of a part are not those that were recorded."""
        for part, record in self.parts.items():
            rows = rows_of(interactions, part)
            if len(rows) != record.rows or rows_hash(rows) != record.sha256:
                raise CCFError(
                    f"{where}: the {part} rows are not those recorded in splits/manifest.json; import or split it again"
                )


def given_split(interactions: pl.DataFrame) -> SplitManifest:
    """The manifest of a split that the source brought along in its `split` column."""
    return SplitManifest(rule="given by the source", parts=part_records(interactions, {}))


def part_records(interactions: pl.DataFrame, left_out: dict[str, int]) -> dict[str, PartRecord]:
    """Count and hash the rows of each part."""
    records: dict[str, PartRecord] = {}
    for part in PARTS:
        rows = rows_of(interactions, part)
        records[part] = PartRecord(rows=len(rows), sha256=rows_hash(rows), left_out=left_out.get(part, 0))
    return records


def rows_of(interactions: pl.DataFrame, part: str) -> pl.DataFrame:
    """user_id, item_id, timestamp and label of a part's rows."""
    return interactions.lazy().filter(pl.col("split") == part).select(*_EVENT, "label").collect()


def rows_hash(rows: pl.DataFrame) -> str:
    """SHA-256 of the sorted lines `user_id item_id timestamp`, separated by the unit separator character."""
    lines = rows.select(pl.concat_str(_EVENT, separator="\x1f")).to_series().sort()
    digest = hashlib.sha256()
    for begin, some in slices(lines):
        digest.update(b"\n" if begin else b"")
        digest.update(some.str.join("\n")[0].encode())
    return digest.hexdigest()
