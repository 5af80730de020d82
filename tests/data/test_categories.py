"""Categories of items by a named column."""

import polars as pl
import pytest

from ccf_llm.data.categories import MAX_CATEGORIES, categories_of
from ccf_llm.errors import CCFError


def items(genres: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{n}" for n in range(len(genres))], "title": "T", "genres": genres})


def test_one_column_for_each_entry_in_order() -> None:
    found = categories_of(items(["Drama, War", "Comedy", None, "War"]), "genres")
    assert found.tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("genres", "column", "message"),
    [
        (["War"], "colour", r"^data\.categories: items have no column 'colour'; they have genres$"),
        ([None, ""], "genres", r"^data\.categories: 'genres' has 0 different entries; name a column of 1 to 100$"),
        ([f"g{n}" for n in range(MAX_CATEGORIES + 1)], "genres", r"'genres' has 101 different entries"),
    ],
)
def test_what_does_not_sort_items_is_refused(genres: list[str | None], column: str, message: str) -> None:
    with pytest.raises(CCFError, match=message):
        categories_of(items(genres), column)
