"""Published data sets in folders of large files: a release declares its files and columns, which are streamed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.lines import FirstLines, Lines, collected, names_in_line
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

    def find(self, folder: Path, lines: FirstLines) -> list[Path]:
        """The files of the folder that are this table."""
        files = sorted({path for pattern in self.files for path in folder.glob(pattern)})
        return [path for path in files if self.columns.keys() <= set(names_in_line(lines[path], self.lines))]

    def read(self, path: Path, how: TextFormat) -> pl.DataFrame:
        """The table."""
        names = {**self.columns, **self.more}
        return collected(self.shape(self.lines.scan(path, list(names), how).rename(names)), path)


class Files(NamedTuple):
    """The files of a folder that are a release's tables; of each one is expected."""

    interactions: list[Path]
    items: list[Path]
    users: list[Path]


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

    def find(self, folder: Path, lines: FirstLines) -> Files | None:
        """The tables in a folder; None where one of interactions and items is not there."""
        if not folder.is_dir() or not (interactions := self.interactions.find(folder, lines)):
            return None
        if not (items := self.items.find(folder, lines)):
            return None
        return Files(interactions, items, self.users.find(folder, lines) if self.users is not None else [])

    def read(
        self, folder: Path, files: Files, *, like_threshold: float | None, drop_unknown: bool, how: TextFormat
    ) -> Dataset:
        """The data set. Of rows that share their key the last counts: nobody can correct what is published."""
        for note in self.notes:
            how.reading.note(f"{self.name}: {note}")
        interactions = self.interactions.read(_the_one(files.interactions), how)
        rated = interactions.filter(pl.col("rating").str.strip_chars() != "0") if self.unrated else interactions
        how.reading.leave_out("interactions rated 0, which means not rated", len(interactions) - len(rated))
        key = [name for name in ("user_id", "item_id", "timestamp") if name in interactions.columns]
        items = self.items.read(_the_one(files.items), how)
        users = self.users.read(_the_one(files.users), how) if self.users is not None and files.users else None
        dataset = Dataset.from_frames(
            _one_of_each(rated, key, "interactions", how.reading),
            _one_of_each(items, ["item_id"], "items", how.reading),
            users=users,
            name=folder.resolve().name,
            like_threshold=self.like_threshold if like_threshold is None else like_threshold,
            drop_unknown=drop_unknown,
            reading=how.reading,
        )
        how.reading.rows = len(interactions)
        return dataset


def _the_one(found: list[Path]) -> Path:
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise CCFError(f"{found[0].parent}: {names} are the same table; leave one of them in the folder")
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
