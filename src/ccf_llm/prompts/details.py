"""What is told of an item beside its title: columns in order, each with words around it and a budget of its own."""

from collections.abc import Callable
from typing import Annotated, Any

import polars as pl
from pydantic import BeforeValidator, Field

from ccf_llm.data.texts import is_list
from ccf_llm.settings import Settings
from ccf_llm.text.cutting import cut
from ccf_llm.text.lines import clean


class Detail(Settings):
    """A column of the items, and how it is told. Where an item has nothing in it, nothing is said."""

    column: str = Field(min_length=1)
    """Its name."""
    before: str = ""
    """Words before it, such as `"by "`."""
    after: str = ""
    """Words after it."""
    most: int | None = Field(default=None, ge=1)
    """At most so many tokens of it, the words around it not counted: a list (by the column's name: genres, tags,
    keywords, ...) ends after an entry, other texts after a sentence. None: its first 200 characters."""


def _of_mapping(value: Any) -> Any:
    return Detail.model_validate(value) if isinstance(value, dict) else value


Details = tuple[Annotated[str | Detail, BeforeValidator(_of_mapping)], ...]
"""In the order in which they are told; a name alone is the column as it is."""


def columns_of(details: Details) -> tuple[str, ...]:
    """The names of the columns."""
    return tuple(detail if isinstance(detail, str) else detail.column for detail in details)


def words_of(items: pl.DataFrame, details: Details, tokens: Callable[[str], int]) -> list[str]:
    """The words of each item beside its title, its details separated by comma and space.

    Args:
        items: with the columns of `details`, as texts.
        details: what is told.
        tokens: how many tokens a text has.
    """
    told = [Detail(column=detail) if isinstance(detail, str) else detail for detail in details]
    columns = [[_told(text or "", detail, tokens) for text in items[detail.column]] for detail in told]
    return [", ".join(filter(None, row)) for row in zip(*columns, strict=True)]


def _told(text: str, detail: Detail, tokens: Callable[[str], int]) -> str:
    if detail.most is None:
        words = clean(text)
    else:
        words = cut(clean(text, limit=None), detail.most, tokens, listed=is_list(detail.column))
    return f"{detail.before}{words}{detail.after}" if words else ""
