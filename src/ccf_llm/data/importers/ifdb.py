"""IFDB, what people played of interactive fiction: tables from the Interactive Fiction Database (CC BY 3.0 US).

`items.parquet` holds item_id, title, author, genre, system, tags, year and description; `plays.parquet` holds user_id,
item_id and timestamp; `labels.parquet` user_id, item_id and label, without times. Who shows any of it credits "IFDB".
"""

from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.reading import Reading
from ccf_llm.data.validate import require
from ccf_llm.io.parquet import read_parquet

ITEMS, PLAYS, LABELS = "items.parquet", "plays.parquet", "labels.parquet"
WORDS = ("title", "author", "genre", "system", "tags", "year", "description")
CUT_AT = 300  # characters of tags: longer fields end in the middle of one
FIRST_PLAY = 852_076_800  # the start of 1997: IFDB's own times begin later, what stands before is a dummy
NOTES = (
    "IFDB: from the Interactive Fiction Database (ifdb.org), CC BY 3.0 US; credit IFDB where you show it",
    "IFDB: tags name competitions and awards, which came after the game did",
)


def is_ifdb(path: Path) -> bool:
    """Whether the path is the folder of the three tables, or one of the two with interactions."""
    folder = path.parent if path.name in (PLAYS, LABELS) else path
    return all((folder / name).is_file() for name in (ITEMS, PLAYS, LABELS))


def import_ifdb(path: str | Path, *, drop_unknown: bool = False, reading: Reading | None = None) -> Dataset:
    """Read the folder: its plays, in time, each of them a like (ranking). Of `labels.parquet`, its likes and dislikes
    (rating), whose times nobody knows.
    """
    path, reading = Path(path), reading or Reading()
    table = path if path.name in (PLAYS, LABELS) else path / PLAYS
    interactions = read_parquet(table)
    third = "label" if table.name == LABELS else "timestamp"
    require(interactions, str(table), ["user_id", "item_id", third])
    items = read_parquet(table.with_name(ITEMS))
    require(items, str(table.with_name(ITEMS)), ["item_id", *WORDS])
    for note in NOTES:
        reading.note(note)
    if third == "timestamp" and (dummies := int((interactions["timestamp"] < FIRST_PLAY).sum())):
        reading.note(f"IFDB: {dummies} plays have dummy times of 1980; they count as the oldest")
    return Dataset.from_frames(
        interactions.select("user_id", "item_id", third),
        items.select("item_id", *WORDS).with_columns(_names("genre", "[/|;]"), _names("tags", "[|;]")),
        name="ifdb-labels" if table.name == LABELS else "ifdb",
        drop_unknown=drop_unknown,
        reading=reading,
    )


def _names(column: str, separators: str) -> pl.Expr:
    """The names in a column between commas (or `separators`), each once, without the last where the field was cut."""
    field = pl.col(column).fill_null("")
    whole = pl.when(field.str.len_chars() < CUT_AT).then(field).otherwise(field.str.replace(r",[^,]*$", ""))
    names = whole.str.replace_all(separators, ",").str.split(",").list.eval(pl.element().str.strip_chars())
    return names.list.unique(maintain_order=True).list.join(", ").alias(column)
