"""MIND, Microsoft's news: `behaviors.tsv` and `news.tsv` of one part, such as MINDsmall_train.

See https://msnews.github.io
"""

import polars as pl

from ccf_llm.data.importers.lines import tabbed
from ccf_llm.data.importers.release import Release, Table

SHOWN = tabbed("impression", "user", "time", "history", "shown")
NEWS = tabbed("id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
TIME = "%m/%d/%Y %I:%M:%S %p"


def _clicks(frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each article that was shown: `N17-1` was clicked, `N23-0` was not."""
    shown = frame.with_columns(
        pl.col("timestamp").str.to_datetime(TIME, strict=False).dt.epoch("s"), pl.col("shown").str.split(" ")
    ).explode("shown")
    parts = pl.col("shown").str.splitn("-", 2).struct
    return shown.select(
        "user_id", parts.field("field_0").alias("item_id"), "timestamp", parts.field("field_1").alias("label")
    )


MIND = Release(
    name="MIND",
    interactions=Table(
        SHOWN, ("behaviors.tsv",), {"user": "user_id", "time": "timestamp", "shown": "shown"}, shape=_clicks
    ),
    items=Table(
        NEWS,
        ("news.tsv",),
        {
            "id": "item_id",
            "title": "title",
            "category": "category",
            "subcategory": "subcategory",
            "abstract": "abstract",
        },
    ),
    notes=(
        "clicks are likes, what was shown and not clicked are dislikes; clicks before the log have no time and are "
        "left out",
    ),
)
