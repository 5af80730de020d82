"""Categories of items, such as genres, as vectors."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.errors import CCFError

MAX_CATEGORIES = 100
"""A column with more distinct entries than this does not sort items into categories."""


def categories(items: pl.DataFrame) -> NDArray[np.float64] | None:
    """(n_items, d) 1 where an item has a category: the entries between commas of the first column that lists some.

    None where no column beside the title does, or where its entries are too varied to sort items (`MAX_CATEGORIES`).
    """
    for name in items.columns[2:]:
        entries, distinct = entries_of(items[name])
        if (entries.list.len() > 1).any() and len(distinct) <= MAX_CATEGORIES:
            return _one_hot(entries, distinct)
    return None


def categories_of(items: pl.DataFrame, column: str) -> NDArray[np.float64]:
    """(n_items, d) 1 where an item has a category of this column, a row of zeros where it has none.

    Raises `CCFError` where there is no such column, or where it does not sort items.
    """
    if column not in items.columns:
        there = ", ".join(items.columns[2:]) or "titles alone"
        raise CCFError(f"data.categories: items have no column '{column}'; they have {there}")
    entries, distinct = entries_of(items[column])
    if not 0 < len(distinct) <= MAX_CATEGORIES:
        raise CCFError(
            f"data.categories: '{column}' has {len(distinct)} different entries; name a column of 1 to {MAX_CATEGORIES}"
        )
    return _one_hot(entries, distinct)


def entries_of(column: pl.Series) -> tuple[pl.Series, list[str]]:
    """The entries between commas of each item, and all that there are, sorted; an empty one is none."""
    entries = column.cast(pl.String).fill_null("").str.split(",").list.eval(pl.element().str.strip_chars())
    return entries, [entry for entry in entries.explode().unique().sort().to_list() if entry]


def _one_hot(entries: pl.Series, distinct: list[str]) -> NDArray[np.float64]:
    return np.stack([entries.list.contains(entry).to_numpy() for entry in distinct], axis=1).astype(float)
