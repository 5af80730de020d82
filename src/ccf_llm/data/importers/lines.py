"""Large files of one record a line, perhaps gzipped: the fields that are wanted, streamed as text.

What is nested in a record comes as JSON text, for `names_in` and `prose_in`.
"""

import ast
import glob
import gzip
import json
import zlib
from collections.abc import Callable, Collection
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.data.importers.text import TextFormat
from ccf_llm.errors import CCFError

FIRST_LINE = 1 << 22  # bytes; a first line that is longer is of no known kind
BATCH = 100_000  # records that are Python objects at a time
_NO_RECORD = (ValueError, SyntaxError, RecursionError, MemoryError)
_UNREADABLE = (OSError, EOFError, zlib.error)


class Lines(NamedTuple):
    """A kind of such files."""

    names: Callable[[str], Collection[str]]
    """Of the first line: what the fields are called. May fail where the line is of another kind."""
    scan: Callable[[Path, list[str], TextFormat], pl.LazyFrame]
    """The fields of these names in all records, null where a record lacks one."""


class FirstLines(dict[Path, str]):
    """The first line of each file that is asked for, read once; empty where a file cannot be read."""

    def __missing__(self, path: Path) -> str:
        try:
            with _opened(path) as file:
                self[path] = file.readline(FIRST_LINE).decode(errors="replace")
        except _UNREADABLE:
            self[path] = ""
        return self[path]


def names_in_line(line: str, lines: Lines) -> Collection[str]:
    """The names of the fields by a file's first line; none where it is of another kind."""
    try:
        return lines.names(line)
    except _NO_RECORD:
        return ()


def collected(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """The frame that a scan of the file makes; what cannot be read is a `CCFError` that names the line."""
    try:
        return frame.collect(engine="streaming")
    except (PolarsError, OSError) as error:
        line = _first_bad_line(path)
        where = f"line {line} cannot be read" if line else "cannot be read to the end"
        reason = " ".join(str(error).split())[:100]
        raise CCFError(f"{path}: {where} ({reason}); it is cut or damaged, download it again") from None


def names_in(column: str) -> pl.Expr:
    """A nested list of names, separated as those of tables are."""
    return _joined(column, "|")


def prose_in(column: str) -> pl.Expr:
    """A nested list of paragraphs as one text."""
    return _joined(column, " ")


def _joined(column: str, separator: str) -> pl.Expr:
    text = pl.col(column)
    nested = pl.when(text.str.contains(r'^\[(?:"|\])')).then(text).str.json_decode(pl.List(pl.String))
    return pl.coalesce(nested.list.join(separator, ignore_nulls=True), text).alias(column)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # reads alike


def _record(parse: Callable[[str], Any], line: str) -> dict[str, Any]:
    record = parse(line.strip())
    if not isinstance(record, dict):
        raise ValueError("no record of named fields")
    return record


def _scan_json(path: Path, names: list[str], _: TextFormat) -> pl.LazyFrame:
    return pl.scan_ndjson(glob.escape(str(path)), schema=dict.fromkeys(names, pl.String))


def _first_bad_line(path: Path) -> int | None:
    """Of JSON lines; None where all lines that can be had are sound."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        _record(json.loads, line.decode())
                    except _NO_RECORD:
                        return number
    except _UNREADABLE:
        pass
    return None


def _scan_python(path: Path, names: list[str], _: TextFormat) -> pl.LazyFrame:
    schema = dict.fromkeys(names, pl.String)
    frames = [pl.DataFrame(schema=schema)]
    try:
        with _opened(path) as file:
            lines = enumerate(file, start=1)
            while batch := [_fields(path, number, line, names) for number, line in islice(lines, BATCH)]:
                frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    except _UNREADABLE as error:
        raise CCFError(f"{path}: cannot be read to the end ({error}); download it again") from None
    return pl.concat(frames).lazy()


def _fields(path: Path, number: int, line: bytes, names: list[str]) -> list[str | None]:
    try:
        record = _record(ast.literal_eval, line.decode())
    except _NO_RECORD:
        raise CCFError(f"{path}: line {number} is no record; it is cut or damaged, download it again") from None
    values = [record.get(name) for name in names]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]


JSON = Lines(partial(_record, json.loads), _scan_json)
PYTHON = Lines(partial(_record, ast.literal_eval), _scan_python)
"""Python's own way to write a dictionary: read as literals, nothing is run."""


def tabbed(*names: str) -> Lines:
    """Fields between tabs, without a header and without quotation."""

    def scan(path: Path, wanted: list[str], _: TextFormat) -> pl.LazyFrame:
        schema = dict.fromkeys(names, pl.String)
        return pl.scan_csv(path, separator="\t", has_header=False, quote_char=None, schema=schema, glob=False).select(
            wanted
        )

    return Lines(lambda line: names if line.count("\t") == len(names) - 1 else (), scan)
