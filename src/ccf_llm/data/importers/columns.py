"""The user's own tables: CSV, TSV, JSON lines or Parquet, with the columns named."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.text import TextFormat, read_separated
from ccf_llm.data.validate import require
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.parquet import read_parquet

TIME_NAMES = ("time", "date", "datetime", "ts", "unixtime", "unix_time", "created", "created_at", "when", "timestamp")


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
    like_threshold: float | None = None,
    drop_unknown: bool = False,
    how: TextFormat | None = None,
) -> Dataset:
    """Read a table of interactions, one of items and optionally one of users.

    The item and user columns are called the same in all tables. Of label and rating the one that is named decides;
    without either, those called `label` or `rating` are taken. All other columns of the items are kept as text.
    `like_threshold` and `drop_unknown` are those of `Dataset.from_frames`, `how` says how text files are read.
    """
    columns, how = columns or Columns(), how or TextFormat()
    table = _interactions(Path(interactions), columns, how)
    wanted = {columns.item: "item_id", columns.title: "title"}
    return Dataset.from_frames(
        table,
        _renamed(read_table(Path(items), how), Path(items), wanted),
        users=None if users is None else _renamed(read_table(Path(users), how), Path(users), {columns.user: "user_id"}),
        name=name,
        like_threshold=like_threshold,
        drop_unknown=drop_unknown,
        reading=how.reading,
    )


def read_table(path: Path, how: TextFormat | None = None) -> pl.DataFrame:
    """Read a .csv, .tsv, .jsonl, .ndjson or .parquet file. Text tables give text columns, for the validator to cast.

    With a separator in `how`, .txt and .dat files are text tables too.
    """
    how = how or TextFormat()
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return read_parquet(path)
    if ending == ".tsv":
        return read_separated(path.read_bytes(), path, how, usual="\t", quotes="line")
    if ending == ".csv" or (ending in (".txt", ".dat") and how.separator):
        return read_separated(path.read_bytes(), path, how, quotes="line" if how.separator == "\t" else "csv")
    if ending in (".jsonl", ".ndjson"):
        try:
            return pl.read_ndjson(how.decode(path.read_bytes(), path).encode(), infer_schema_length=None)
        except PolarsError as error:
            raise CCFError(f"{path}: not JSON lines ({one_line(error)}); correct the file") from None
    raise CCFError(
        f"{path}: cannot tell the format from the ending; use .csv, .tsv, .jsonl or .parquet, or .txt with --separator"
    )


def _interactions(path: Path, columns: Columns, how: TextFormat) -> pl.DataFrame:
    frame = read_table(path, how)
    given = [name for name in (columns.user, columns.item, columns.timestamp, columns.label, columns.rating) if name]
    if twice := [name for name in given if given.count(name) > 1]:
        raise CCFError(f"{path}: the column `{twice[0]}` is named for two things; name another for one of them")
    wanted = {columns.user: "user_id", columns.item: "item_id"}
    wanted |= {name: new for name, new in ((columns.label, "label"), (columns.rating, "rating")) if name}
    if columns.timestamp in frame.columns or columns.timestamp not in ("", "timestamp"):
        wanted[columns.timestamp] = "timestamp"
    elif columns.timestamp and (like := [name for name in frame.columns if name.lower() in TIME_NAMES]):
        raise CCFError(
            f"{path}: no column `timestamp`; if `{like[0]}` says when, give --timestamp-column {like[0]}, else "
            '--timestamp-column ""'
        )
    else:
        frame = frame.drop("timestamp", strict=False)
    for named, other in ((columns.rating, "label"), (columns.label, "rating")):
        if named and not (columns.label and columns.rating) and other in frame.columns and other != named:
            how.reading.note(f"{path}: `{named}` was named and decides; the column `{other}` is ignored")
            frame = frame.drop(other)
    return _renamed(frame, path, wanted)


def _renamed(frame: pl.DataFrame, path: Path, wanted: dict[str, str]) -> pl.DataFrame:
    require(frame, str(path), list(wanted))
    # A column of the table that already bears one of our names, but is not the one that was named, gives way.
    frame = frame.drop([new for old, new in wanted.items() if old != new and new in frame.columns])
    return frame.rename(wanted)
