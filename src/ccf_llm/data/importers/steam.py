"""Steam, as UCSD publishes it: `steam_reviews.json.gz` and `steam_games.json.gz`, lines of Python's dictionaries.

See https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data
"""

import polars as pl

from ccf_llm.data.importers.lines import PYTHON, names_in
from ccf_llm.data.importers.release import Release, Table

FILES = ("*.json", "*.json.gz")


def _items(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.select(
        "item_id",
        pl.coalesce("title", "app_name").alias("title"),
        "developer",
        pl.col("released").str.extract(r"\b(\d{4})\b").alias("year"),
        names_in("genres"),
        names_in("tags"),
    )


STEAM = Release(
    name="Steam",
    interactions=Table(PYTHON, FILES, {"username": "user_id", "product_id": "item_id", "date": "timestamp"}),
    items=Table(
        PYTHON,
        FILES,
        {"id": "item_id", "app_name": "app_name"},
        more={
            "title": "title",
            "developer": "developer",
            "release_date": "released",
            "genres": "genres",
            "tags": "tags",
        },
        shape=_items,
    ),
    notes=("whoever reviewed a game counts as liking it; reviewers are told apart by their names",),
)
