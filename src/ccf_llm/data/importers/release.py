"""Published data sets in folders of large files: a release declares its files and columns, which are streamed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.lines import Lines, collected, names_of
from ccf_llm.data.importers.text import TextFormat
from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError


def _as_it_is(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame


@dataclass(frozen=True)
class Table:
    """One table of a release."""

    lines: Lines
    """The kind of file."""
    files: tuple[str, ...]
    """Patterns of the file's name."""
    columns: Mapping[str, str]
    """Its fields, and what they are called here. A file is known by having all of them."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Fields that may lack."""
    shape: Callable[[pl.LazyFrame], pl.LazyFrame] = _as_it_is
    """From the fields, as text under our names, to the columns of a data set."""

    def find(self, folder: Path) -> list[Path]:
        """The files of the folder that are this table."""
        files = sorted({path for pattern in self.files for path in folder.glob(pattern)})
        return [path for path in files if self.columns.keys() <= set(names_of(path, self.lines))]

    def read(self, path: Path, how: TextFormat) -> pl.DataFrame:
        """The table."""
        names = {**self.columns, **self.more}
        return collected(self.shape(self.lines.scan(path, list(names), how).rename(names)), path)


@dataclass(frozen=True)
class Release:
    """A published data set: where its tables are and what is read of them."""

    name: str
    interactions: Table
    items: Table
    users: Table | None = None
    like_threshold: float | None = None
    """From which rating on an item is liked, where nobody says otherwise; None: by the ratings."""
    unrated: bool = False
    """Whether a rating of 0 says that there is none."""
    notes: tuple[str, ...] = ()
    """What a person should know."""

    def is_in(self, folder: Path) -> bool:
        """Whether the folder holds its tables."""
        return folder.is_dir() and bool(self.interactions.find(folder) and self.items.find(folder))

    def read(
        self,
        folder: Path,
        *,
        like_threshold: float | None = None,
        drop_unknown: bool = False,
        how: TextFormat | None = None,
    ) -> Dataset:
        """The data set. Of rows that share their key the last counts: nobody can correct what is published."""
        how = how or TextFormat()
        for note in self.notes:
            how.reading.note(f"{self.name}: {note}")
        interactions = self.interactions.read(_the_one(self.interactions, folder), how)
        rated = interactions.filter(pl.col("rating").str.strip_chars() != "0") if self.unrated else interactions
        how.reading.leave_out("interactions rated 0, which means not rated", len(interactions) - len(rated))
        key = [name for name in ("user_id", "item_id", "timestamp") if name in interactions.columns]
        items = self.items.read(_the_one(self.items, folder), how)
        users = self.users if self.users is not None and self.users.find(folder) else None
        dataset = Dataset.from_frames(
            _one_of_each(rated, key, "interactions", how.reading),
            _one_of_each(items, ["item_id"], "items", how.reading),
            users=None if users is None else users.read(_the_one(users, folder), how),
            name=folder.resolve().name,
            like_threshold=self.like_threshold if like_threshold is None else like_threshold,
            drop_unknown=drop_unknown,
            reading=how.reading,
        )
        how.reading.rows = len(interactions)
        return dataset


def _the_one(table: Table, folder: Path) -> Path:
    found = table.find(folder)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CCFError(f"{folder}: {names} are the same table; leave one of them in the folder")
    return found[0]


def _one_of_each(frame: pl.DataFrame, key: Sequence[str], what: str, reading: Reading) -> pl.DataFrame:
    """Rows with the whole key, and of those that share it the last."""
    texts = [name for name in key if frame[name].dtype == pl.String]
    frame = frame.with_columns(pl.col(texts).str.strip_chars().replace("", None))
    whole = frame.drop_nulls(key)
    single = whole.unique(key, keep="last", maintain_order=True)
    reading.leave_out(f"{what} without {' or '.join(key)}", len(frame) - len(whole))
    reading.leave_out(f"{what} that come again with the same {', '.join(key)}", len(whole) - len(single))
    return single
