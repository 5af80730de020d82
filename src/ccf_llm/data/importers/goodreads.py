"""Goodreads, the UCSD Book Graph: `goodreads_interactions*.json.gz` (or `goodreads_reviews*`) and `goodreads_books*`.

See https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html
"""

import polars as pl

from ccf_llm.data.importers.lines import JSON
from ccf_llm.data.importers.release import Release, Table

FILES = ("*.json", "*.json.gz")
TIME = "%a %b %d %H:%M:%S %z %Y"

GOODREADS = Release(
    name="Goodreads",
    interactions=Table(
        JSON,
        FILES,
        {"user_id": "user_id", "book_id": "item_id", "rating": "rating", "date_added": "timestamp"},
        shape=lambda frame: frame.with_columns(pl.col("timestamp").str.to_datetime(TIME, strict=False).dt.epoch("s")),
    ),
    items=Table(
        JSON,
        FILES,
        {"book_id": "item_id", "title": "title", "publication_year": "year"},
        more={"publisher": "publisher", "description": "description"},
    ),
    unrated=True,
    notes=("the time is when a book was put on the shelf",),
)
