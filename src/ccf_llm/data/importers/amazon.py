"""Amazon Reviews of 2018 and of 2023: the reviews of a category and its metadata, as JSON lines.

`Books.json.gz` or `Books_5.json.gz` with `meta_Books.json.gz` (https://nijianmo.github.io/amazon), `Books.jsonl.gz`
with `meta_Books.jsonl.gz` (https://amazon-reviews-2023.github.io).
"""

import polars as pl

from ccf_llm.data.importers.lines import JSON, names_in, prose_in
from ccf_llm.data.importers.release import Release, Table

FILES = ("*.json", "*.json.gz", "*.jsonl", "*.jsonl.gz")


def _items(frame: pl.LazyFrame) -> pl.LazyFrame:
    page = pl.col("title").str.contains(
        "getTime", literal=True
    )  # a script of the page that stands in the title's place
    return frame.with_columns(
        pl.when(~page).then("title").alias("title"), names_in("categories"), prose_in("description")
    )


def _items_2023(frame: pl.LazyFrame) -> pl.LazyFrame:
    return _items(frame).with_columns(pl.col("author").str.json_path_match("$.name"))


AMAZON_2018 = Release(
    name="Amazon Reviews 2018",
    interactions=Table(
        JSON,
        FILES,
        {"reviewerID": "user_id", "asin": "item_id", "overall": "rating", "unixReviewTime": "timestamp"},
    ),
    items=Table(
        JSON,
        FILES,
        {"asin": "item_id", "title": "title", "brand": "brand"},
        more={"category": "categories", "description": "description"},
        shape=_items,
    ),
)
AMAZON_2023 = Release(
    name="Amazon Reviews 2023",
    interactions=Table(
        JSON,
        FILES,
        {"user_id": "user_id", "parent_asin": "item_id", "rating": "rating", "timestamp": "timestamp"},
        shape=lambda frame: frame.with_columns(pl.col("timestamp").cast(pl.Int64, strict=False) // 1000),
    ),
    items=Table(
        JSON,
        FILES,
        {"parent_asin": "item_id", "title": "title", "store": "store", "categories": "categories"},
        more={"author": "author", "description": "description"},
        shape=_items_2023,
    ),
)
