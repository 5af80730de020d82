"""Categories of items, such as genres, as vectors."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_CATEGORIES = 100
"""A column with more distinct entries than this does not sort items into categories."""


def categories(items: pl.DataFrame) -> NDArray[np.float64] | None:
    """(n_items, d) 1 where an item has a category: the entries between commas of the first column that lists some.

    None where no column beside the title does, or where its entries are too varied to sort items (`MAX_CATEGORIES`).
    """
    for name in items.columns[2:]:
        entries = items[name].cast(pl.String).fill_null("").str.split(",").list.eval(pl.element().str.strip_chars())
        distinct = [entry for entry in entries.explode().unique().sort().to_list() if entry]
        if (entries.list.len() > 1).any() and len(distinct) <= MAX_CATEGORIES:
            return np.stack([entries.list.contains(entry).to_numpy() for entry in distinct], axis=1).astype(float)
    return None
