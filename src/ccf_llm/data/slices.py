"""Long columns and tables, a slice at a time, so that what is made on the way stays small."""

from collections.abc import Iterator
from typing import TypeVar

import polars as pl

SLICE = 1 << 20
Rows = TypeVar("Rows", pl.Series, pl.DataFrame)


def slices(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The slices of at most `SLICE` rows, each with the place of its first one."""
    for begin in range(0, len(rows), SLICE):
        yield begin, rows.slice(begin, SLICE)
