"""Parquet in and out, with errors that name the file."""

from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.files import atomic_file


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file; a missing, cut or foreign one is a `CCFError` that names it."""
    path = Path(path)
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    try:
        return pl.read_parquet(path, glob=False)
    except (PolarsError, OSError) as error:
        reason = one_line(error)
        raise CCFError(
            f"{path}: not a readable Parquet file ({reason}); it is cut or damaged, write it again"
        ) from None


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file atomically."""
    with atomic_file(Path(path)) as temporary:
        frame.write_parquet(temporary)
