"""Small readers shared by the importers."""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from ccf_llm.errors import CCFError, one_line

NO_GENRE = ("", "unknown", "(no genres listed)")


def decode(content: bytes) -> str:
    """UTF-8 if it is that, else Latin-1, in which older MovieLens files are written."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_separated(content: bytes | None, path: Path, *, separator: str, quote: str | None = None) -> pl.DataFrame:
    """All columns of a text table with a header, as text: nothing is guessed, so ids such as 007 stay what they are.

    `content` None stands for a file that is not there; `path` is what errors call it.
    """
    if content is None:
        raise CCFError(f"{path}: no such file")
    try:
        table = io.BytesIO(decode(content).encode())
        return pl.read_csv(table, separator=separator, quote_char=quote, infer_schema=False)
    except PolarsError as error:
        raise CCFError(f"{path}: not a readable table ({one_line(error)}); correct the file") from None


def split_lines(content: bytes, separator: str, columns: Sequence[str], path: Path) -> pl.DataFrame:
    """A text table without a header and with a separator of any length, as text columns."""
    lines = pl.Series("line", [line for line in decode(content).replace("\r\n", "\n").split("\n") if line])
    fields = lines.str.split(separator)
    if (short := fields.list.len() < len(columns)).any():
        raise CCFError(
            f"{path}: line {int(short.arg_true()[0]) + 1} has too few fields; the file is cut or not MovieLens"
        )
    return pl.DataFrame([fields.list.get(i).alias(name) for i, name in enumerate(columns)])


def renamed(frame: pl.DataFrame, name: str, sources: Sequence[str], path: Path | None = None) -> pl.DataFrame:
    """Give the first column of `sources` that is there the name `name`; with a path, its absence is an error."""
    found = next((source for source in sources if source in frame.columns), None)
    if found is None and path is not None:
        raise CCFError(f"{path}: no column with the titles (one of {', '.join(sources)}); rename the column")
    return frame if found is None or found == name else frame.rename({found: name})


def year(text: pl.Expr) -> pl.Expr:
    """Four digits, or empty."""
    return pl.when(text.str.contains(r"^\d{4}$")).then(text).otherwise(pl.lit("")).alias("year")


def title_year(title: pl.Expr) -> pl.Expr:
    """The year in brackets that ends a title, or empty. The title itself stays as it is."""
    return title.str.extract(r"\((\d{4})\)\s*$").fill_null("").alias("year")


def genres(text: pl.Expr, separator: str) -> pl.Expr:
    """Genres separated by comma and space; sources' words for no genre become empty."""
    return (
        pl.when(text.is_in(NO_GENRE))
        .then(pl.lit(""))
        .otherwise(text.str.replace_all(separator, ", ", literal=True))
        .alias("genres")
    )
