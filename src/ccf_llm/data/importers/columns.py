"""The user's own tables: CSV, TSV, JSON lines or Parquet, with the columns named."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.text import read_separated
from ccf_llm.data.validate import require
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.parquet import read_parquet

SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Columns:
    """What the columns are called in the user's tables. Empty: there is no such column."""

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    label: str = ""
    rating: str = ""
    title: str = "title"


def import_tables(
    interactions: str | Path,
    items: str | Path,
    columns: Columns | None = None,
    *,
    users: str | Path | None = None,
    name: str = "data",
    like_threshold: float = 4.0,
) -> Dataset:
    """Read a table of interactions, one of items and optionally one of users.

    The item and user columns are called the same in all tables. Without a named label or rating column, those called
    `label` or `rating` are taken. All other columns of the items are kept as text.
    """
    columns = columns or Columns()
    wanted = {columns.user: "user_id", columns.item: "item_id", columns.timestamp: "timestamp"}
    wanted |= {name: new for name, new in ((columns.label, "label"), (columns.rating, "rating")) if name}
    return Dataset.from_frames(
        _renamed(Path(interactions), wanted),
        _renamed(Path(items), {columns.item: "item_id", columns.title: "title"}),
        users=None if users is None else _renamed(Path(users), {columns.user: "user_id"}),
        name=name,
        like_threshold=like_threshold,
    )


def read_table(path: Path) -> pl.DataFrame:
    """Read a .csv, .tsv, .jsonl, .ndjson or .parquet file. Text tables give text columns, for the validator to cast."""
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return read_parquet(path)
    if ending in SEPARATORS:
        return read_separated(path.read_bytes(), path, separator=SEPARATORS[ending], quote='"')
    if ending in (".jsonl", ".ndjson"):
        try:
            return pl.read_ndjson(path, infer_schema_length=None)
        except PolarsError as error:
            raise CCFError(f"{path}: not JSON lines ({one_line(error)}); correct the file") from None
    raise CCFError(f"{path}: cannot tell the format from the ending; use .csv, .tsv, .jsonl or .parquet")


def _renamed(path: Path, wanted: dict[str, str]) -> pl.DataFrame:
    frame = read_table(path)
    require(frame, str(path), list(wanted))
    # A column of the table that already bears one of our names, but is not the one that was named, gives way.
    frame = frame.drop([new for old, new in wanted.items() if old != new and new in frame.columns])
    return frame.rename(wanted)
