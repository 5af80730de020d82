"""The user's own tables: CSV, TSV, JSON lines or Parquet, with the columns named."""

import glob
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.blocks import Blocks
from ccf_llm.data.importers.text import TextFormat, read_separated, repeating
from ccf_llm.data.reading import Reading
from ccf_llm.data.validate import require
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.archives import read_gzip
from ccf_llm.io.parquet import read_parquet

TIME_NAMES = ("time", "date", "datetime", "ts", "unixtime", "unix_time", "created", "created_at", "when", "timestamp")
OPTIONS = {
    "user_id": "--user-column",
    "item_id": "--item-column",
    "timestamp": "--timestamp-column",
    "rating": "--rating-column",
    "label": "--label-column",
    "title": "--title-column",
}
"""Column of a data set -> the option that names the user's."""


@dataclass(frozen=True)
class Columns:
    """What the columns are called in the user's tables. Empty: there is no such column."""

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"
    label: str = ""
    rating: str = ""
    title: str = "title"


@dataclass(frozen=True)
class Table:
    """A table of the user's as it stands in its file."""

    path: Path
    frame: pl.DataFrame

    def check(self, old: str, new: str) -> None:
        """Raise `CCFError` with its option where there is no column `old` for our `new`."""
        require(self.frame, str(self.path), [old], f"name the right one with {OPTIONS[new]}")

    def renamed(self, wanted: dict[str, str]) -> pl.DataFrame:
        """With the columns under our names; a missing one is a `CCFError` that names its option."""
        for old, new in wanted.items():
            self.check(old, new)
        # A column of the table that already bears one of our names, but is not the one that was named, gives way.
        frame = self.frame.drop([new for old, new in wanted.items() if old != new and new in self.frame.columns])
        return frame.rename(wanted)


@dataclass(frozen=True)
class Tables:
    """The user's tables."""

    interactions: Table
    items: Table
    users: Table | None = None

    @classmethod
    def read(
        cls, interactions: str | Path, items: str | Path, users: str | Path | None = None, how: TextFormat | None = None
    ) -> Self:
        """Read the files; `how` says how text files are read."""
        paths = {"interactions": interactions, "items": items, "users": users}
        given = {name: Path(path) for name, path in paths.items() if path is not None}
        return cls(**{name: Table(path, read_table(path, how)) for name, path in given.items()})


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
    how = how or TextFormat()
    tables = Tables.read(interactions, items, users, how)
    return dataset_of(
        tables,
        columns or Columns(),
        name=name,
        like_threshold=like_threshold,
        drop_unknown=drop_unknown,
        reading=how.reading,
    )


def dataset_of(
    tables: Tables,
    columns: Columns,
    *,
    name: str = "data",
    like_threshold: float | None = None,
    drop_unknown: bool = False,
    reading: Reading | None = None,
) -> Dataset:
    """The data set of tables that have been read; see `import_tables`."""
    reading = reading or Reading()
    users = tables.users
    return Dataset.from_frames(
        _interactions(tables.interactions, columns, reading),
        tables.items.renamed({columns.item: "item_id", columns.title: "title"}),
        users=None if users is None else users.renamed({columns.user: "user_id"}),
        name=name,
        like_threshold=like_threshold,
        drop_unknown=drop_unknown,
        reading=reading,
    )


def read_table(path: Path, how: TextFormat | None = None) -> pl.DataFrame:
    """Read a .csv, .tsv, .jsonl, .ndjson or .parquet file; text tables give text columns, for the validator to cast.

    In a large table columns of texts that come again and again are categorical.
    Text tables may be gzipped (.csv.gz). With a separator in `how`, .txt and .dat files are text tables too.
    """
    how = how or TextFormat()
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending == ".parquet":
        return _compact(read_parquet(path))
    if ending == ".tsv":
        return read_separated(_content(path), path, how, usual="\t", quotes="line")
    if ending == ".csv" or (ending in (".txt", ".dat") and how.separator):
        return read_separated(_content(path), path, how, quotes="line" if how.separator == "\t" else "csv")
    if ending in (".jsonl", ".ndjson"):
        try:
            return _compact(_json_lines(path, how))
        except PolarsError as error:
            raise CCFError(f"{path}: not JSON lines ({one_line(error)}); correct the file") from None
    raise CCFError(
        f"{path}: cannot tell the format from the ending; use .csv, .tsv, .jsonl or .parquet, or .txt with --separator"
    )


def _compact(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col(repeating(frame)).cast(pl.Categorical))


def _content(path: Path) -> bytes | Path:
    return read_gzip(path) if path.suffix == ".gz" else path


def _json_lines(path: Path, how: TextFormat) -> pl.DataFrame:
    """Read where it lies if that can be done; what is packed, or not plain UTF-8, is one piece of text first."""
    text = how.blocks(_content(path), path)
    if isinstance(text, Blocks) and text.source == path:
        with suppress(PolarsError):  # as of an old Mac's line ends: what is wrong else is said below
            return pl.scan_ndjson(glob.escape(str(path)), infer_schema_length=None).collect(engine="streaming")
    return pl.read_ndjson("".join(text).encode(), infer_schema_length=None)


def _interactions(table: Table, columns: Columns, reading: Reading) -> pl.DataFrame:
    frame, path = table.frame, table.path
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
            reading.note(f"{path}: `{named}` was named and decides; the column `{other}` is ignored")
            frame = frame.drop(other)
    return Table(path, frame).renamed(wanted)
