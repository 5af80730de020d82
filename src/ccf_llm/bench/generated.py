"""Interactions of any number, drawn so that their shape is that of a real shop's log, written in bounded memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_folder

Form = Literal["parquet", "csv", "jsonl"]
BATCH = 1 << 20
"""Rows that are in memory at a time, at most."""
SPELLS = 64
"""Parts of the time, at least, each with the users and items that are there as it begins."""
BEGIN, SECONDS = 1_600_000_000, 3 * 365 * 86_400
"""The log is of three years."""
THERE = 0.2
"""Share of the users and items that are there when it begins; the others come evenly."""
GENRES = (
    "drama",
    "comedy",
    "crime",
    "travel",
    "war",
    "music",
    "history",
    "nature",
    "sport",
    "horror",
    "romance",
    "art",
)
FIRST = ("Silent", "Golden", "Last", "Broken", "Hidden", "Distant", "Crimson", "Little", "Endless", "Winter", "Second")
SECOND = ("River", "Garden", "Letter", "Harbour", "Stranger", "Road", "Mirror", "Orchard", "Storm", "Island", "Song")
THIRD = ("Lisbon", "the North", "Glass", "Ashes", "My Father", "Tomorrow", "the Valley", "Salt", "Paris", "Summer")


@dataclass(frozen=True)
class Log:
    """What a generated log is like. The same values give the same files.

    Items are as popular as 1 / (rank + n_items / 50), Zipf's law with Mandelbrot's flat head; people are as busy as a
    log-normal law has it. Half of the time a person takes, instead of an item, the one of about its popularity that is
    of the person's genre. Ratings are 1 to 5. Rows stand in time, those of one user far apart.
    """

    rows: int
    """Interactions, less the few that name one user, item and second twice."""
    users: int = 0
    """0: one for each 50 rows."""
    items: int = 0
    """0: ten times the square root of the rows."""
    seed: int = 0

    def write(self, folder: str | Path, form: Form = "parquet") -> None:
        """Write `interactions` and `items` in this form into a new folder.

        Raises `CCFError` for numbers below 1 and a form that there is not.
        """
        if min(self.rows, self.n_users, self.n_items) < 1:
            raise CCFError(f"rows {self.rows}, users {self.users}, items {self.items}: give 1 or more of each")
        if form not in get_args(Form):
            raise CCFError(f"form {form!r} is none of {', '.join(get_args(Form))}")
        with atomic_folder(Path(folder)) as temporary:
            random = np.random.default_rng(self.seed)
            names = random.permutation(self.n_items) + 1
            with _written(temporary / f"items.{form}", form) as write:
                write(self._items(names, random))
            with _written(temporary / f"interactions.{form}", form) as write:
                for batch in self._batches(names, random):
                    write(batch)

    @property
    def n_users(self) -> int:
        """Users, of whom a few may have no row."""
        return self.users or max(1, self.rows // 50)

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return self.items or max(1, int(10 * self.rows**0.5))

    def _items(self, names: NDArray[np.int64], random: np.random.Generator) -> pl.DataFrame:
        """The catalogue, by popularity."""
        first, second, third = (
            pl.Series(words)[random.integers(len(words), size=self.n_items)] for words in (FIRST, SECOND, THIRD)
        )
        return pl.DataFrame(
            {
                "item_id": "i" + pl.Series(names).cast(pl.String),
                "title": first + " " + second + " of " + third,
                "genres": pl.Series(GENRES)[np.arange(self.n_items) % len(GENRES)],
                "year": random.integers(1950, 2024, self.n_items),
            }
        )

    def _batches(self, names: NDArray[np.int64], random: np.random.Generator) -> Iterator[pl.DataFrame]:
        """Rows in time; the seconds of one batch end before those of the next begin."""
        busy = np.cumsum(random.lognormal(sigma=1.0, size=self.n_users))
        tastes = random.integers(len(GENRES), size=self.n_users)
        quality = random.normal(3.4, 0.5, self.n_items)
        popular = 1 / (np.arange(self.n_items) + 1 + self.n_items / 50)
        appears = (random.random(self.n_items) - THERE) / (1 - THERE)
        size = min(BATCH, math.ceil(self.rows / SPELLS))
        for begin in range(0, self.rows, size):
            n, now = min(size, self.rows - begin), begin / self.rows
            there = appears <= now
            there[0] = True
            users = _drawn(busy[: max(1, int(self.n_users * (THERE + (1 - THERE) * now)))], n, random)
            ranks = _drawn(np.cumsum(popular * there), n, random)
            alike = np.minimum(ranks - ranks % len(GENRES) + tastes[users], self.n_items - 1)
            ranks = np.where((random.random(n) < 0.5) & there[alike], alike, ranks)
            liking = quality[ranks] + (ranks % len(GENRES) == tastes[users]) + random.normal(0, 0.8, n)
            first, last = (BEGIN + SECONDS * rows // self.rows for rows in (begin, begin + n))
            times = np.sort(random.integers(first, max(last, first + 1), n))
            frame = pl.DataFrame(
                {"user": users + 1, "item": names[ranks], "rating": liking.round().clip(1, 5), "timestamp": times}
            ).unique(["user", "item", "timestamp"], keep="first", maintain_order=True)
            yield frame.select(
                pl.format("u{}", "user").alias("user_id"),
                pl.format("i{}", "item").alias("item_id"),
                pl.col("rating").cast(pl.Int8),
                "timestamp",
            )


def _drawn(cumulated: NDArray[np.float64], n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(n,) places, each as often as its share of the weights whose running sum is given."""
    places: NDArray[np.int64] = np.searchsorted(cumulated, random.random(n) * cumulated[-1], side="right")
    return places


@contextmanager
def _written(path: Path, form: Form) -> Iterator[Callable[[pl.DataFrame], None]]:
    """What writes frames of one kind, one after the other, into a file."""
    if form == "parquet":
        writer: pq.ParquetWriter | None = None
        try:

            def write(frame: pl.DataFrame) -> None:
                nonlocal writer
                table = frame.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table)

            yield write
        finally:
            if writer is not None:
                writer.close()
        return
    with path.open("wb") as file:
        yield (
            lambda frame: (
                frame.write_csv(file, include_header=file.tell() == 0) if form == "csv" else frame.write_ndjson(file)
            )
        )
