"""Parquet in and out, with errors that name the file."""

from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.files import atomic_file
from ccf_llm.io.memory import free_memory


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file; a missing, cut or foreign one is a `CCFError` that names it.

    So is one of more values than memory holds, which may be small on disk.
    """
    path = Path(path)
    if not path.is_file():
        raise CCFError(f"{path}: no such file")
    try:
        lazy, free = pl.scan_parquet(path, glob=False), free_memory()
        rows, columns = lazy.select(pl.len()).collect().item(), len(lazy.collect_schema())
        if free is not None and 8 * rows * columns > free:
            raise CCFError(f"{path}: {rows:,} rows of {columns} columns do not fit into memory; give fewer")
        return lazy.collect()
    except (PolarsError, PanicException, OSError) as error:
        reason = one_line(error)
        raise CCFError(
            f"{path}: not a readable Parquet file ({reason}); it is cut or damaged, write it again"
        ) from None


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file atomically."""
    with atomic_file(Path(path)) as temporary:
        frame.write_parquet(temporary)
