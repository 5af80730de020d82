"""Editions: which items are one work, and a data set where each work is one item."""

import unicodedata
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.dataset import Dataset
from ccf_llm.text.titles import work_title

AUTHORS = ("author", "authors")
"""Columns that say who made an item, whatever their case."""


def authors_of(items: pl.DataFrame) -> list[str]:
    """(n_items,) who made each item; empty where no column says so."""
    named = next((column for column in items.columns if column.casefold() in AUTHORS), None)
    return [""] * len(items) if named is None else items[named].to_list()


def works_of(titles: Iterable[str], authors: Iterable[str]) -> NDArray[np.int64]:
    """(n_items,) a number for each work: its editions share title, but for brackets and subtitle, and author.

    Where no author is known the subtitle counts: parts of a series are no editions of one work.
    """
    numbers: dict[tuple[str, str], int] = {}
    pairs = [
        (fold(work_title(title, subtitle=not author)), fold(author))
        for title, author in zip(titles, authors, strict=True)
    ]
    return np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.int64)


def one_item_a_work(dataset: Dataset) -> Dataset:
    """Editions of a work become the one that was met most (of several the first by id), with all their interactions.

    Where a user met two of them in one second, or nobody knows the times, the last row counts.
    """
    met = dataset.interactions["item_id"].value_counts(name="met")
    works = works_of(dataset.items["title"], authors_of(dataset.items))
    editions = dataset.items.select("item_id", work=pl.Series(works))
    editions = editions.join(met, on="item_id", how="left", maintain_order="left")
    best = pl.col("item_id").sort_by(pl.col("met").fill_null(0), descending=True, maintain_order=True).first()
    editions = editions.with_columns(best.over("work").alias("kept"))
    kept = dict(editions.select("item_id", "kept").iter_rows())
    frame = dataset.interactions.with_columns(pl.col("item_id").replace_strict(kept))
    if "history" in frame.columns:
        frame = frame.with_columns(pl.col("history").list.eval(pl.element().replace_strict(kept)))
    single = frame.unique(["user_id", "item_id", "timestamp"], keep="last", maintain_order=True)
    items = dataset.items.filter(editions["item_id"] == editions["kept"])
    merged = dataset.with_tables(single, items)
    merged.reading.note(
        f"items of one title became one: {len(items):,} of {len(dataset.items):,} are left; give an `author` column "
        "where different works share a title"
    )
    merged.reading.leave_out("interactions with another edition in the same second", len(frame) - len(single))
    return merged


def fold(text: str) -> str:
    """Lower case, without accents, single spaces: how titles and searches are compared.

    >>> fold(" Amélie  (2001)")
    'amelie (2001)'
    """
    letters = (c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join("".join(letters).split())
