"""Tables as people have them in Python -> polars."""

from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.errors import CCFError, one_line


def as_frame(table: Any, what: str) -> pl.DataFrame:
    """A polars frame as it is, and one of pandas, pyarrow or whatever else speaks Arrow; all else is a `CCFError`."""
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        raise CCFError(f"{what}: is a LazyFrame; collect() it first")
    if not (hasattr(table, "__arrow_c_stream__") or hasattr(table, "__dataframe__")):
        raise CCFError(f"{what}: {type(table).__name__} is no table; give a data frame of polars or pandas")
    try:
        return pl.DataFrame(table)
    except (PolarsError, ImportError, TypeError, ValueError) as error:
        raise CCFError(f"{what}: cannot be read as a table ({one_line(error)}); give a polars frame") from None
