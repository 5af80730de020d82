"""Ids as people have them, texts or whole numbers -> the texts that they are inside.

One rule, whether for one id, for some or for a column: a text stays as it is, a whole number becomes its digits, and so
does a whole float, for a gap in a column of numbers makes floats of them (880.0 is "880"). All else is a `CCFError`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from ccf_llm.errors import CCFError

Id = str | int | float | np.number[Any]
"""A text or a whole number."""
Ids = Id | Iterable[Id]
"""One id, or a list, array, Series, set or generator of them."""

EXACT = 2**53
"""Beyond it a float is no longer one whole number: an id would silently be another's."""


def as_id(value: Id, what: str, position: int | None = None) -> str:
    """One id as text; `what` names the argument where it is none.

    Examples:
        >>> as_id(880.0, "user")
        '880'
    """
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str):
        return plain
    if isinstance(plain, int) and not isinstance(plain, bool):
        return str(plain)
    if isinstance(plain, float) and plain.is_integer() and abs(plain) <= EXACT:
        return str(int(plain))
    given = repr(plain) if plain is None or isinstance(plain, bool | float) else f"{type(plain).__name__} object"
    where = "" if position is None else f" at position {position}"
    raise CCFError(f"{what}: {given}{where} is no id; give texts or whole numbers")


def as_ids(values: Ids, what: str) -> list[str]:
    """Ids as texts, in their order; a text or a number by itself is one id.

    Examples:
        >>> as_ids("88", "users"), as_ids([1, 2.0, "c"], "users")
        (['88'], ['1', '2', 'c'])
    """
    if isinstance(values, np.ndarray):
        values = np.atleast_1d(values).tolist()
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        return [as_id(values, what)]  # type: ignore[arg-type]  # bytes and mappings are none, which it says
    return [as_id(value, what, position) for position, value in enumerate(values)]


def id_column(values: pl.Series, what: str) -> pl.Series:
    """A column of ids as texts; `what` names the frame, and the first row without an id is named with the column."""
    name, dtype = values.name, values.dtype
    missing = values.is_null() | values.is_nan() if dtype.is_float() else values.is_null()
    if missing.any():
        raise CCFError(f"{what}: no {name} in row {_first(missing)} ({missing.sum()} missing); fill in or remove them")
    if dtype.is_float() or dtype.is_decimal():
        whole = values.cast(pl.Int64, strict=False)
        exact = whole.abs() <= EXACT if dtype.is_float() else ~missing
        wrong = ~((whole == values) & exact).fill_null(False)
        if wrong.any():
            row = _first(wrong)
            raise CCFError(f"{what}: {name} {values[row]} in row {row} is no id; give texts or whole numbers")
        values = whole
    elif not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise CCFError(f"{what}: column `{name}` has the type {dtype}; ids must be texts or whole numbers")
    ids = values.cast(pl.String)
    if (empty := ids == "").any():
        raise CCFError(f"{what}: row {_first(empty)} has an empty {name}; give it an id or remove the row")
    return ids


def did_you_mean(unknown: str, code: Callable[[str], int], otherwise: str) -> str:
    """The remedy for an id that is not known: the spelling that is, without blanks or the `.0` of a float.

    Args:
        unknown: the id as it was given.
        code: of an id, 0 where it is not known (`Vocabulary.code`).
        otherwise: the remedy where no spelling is known.
    """
    stripped = unknown.strip()
    for spelling in (stripped, re.sub(r"\.0+$", "", stripped), f"{stripped}.0"):
        if code(spelling):
            return f"did you mean '{spelling}'?"
    return otherwise


def _first(mask: pl.Series) -> int:
    return int(mask.arg_true()[0])
