"""Small readers shared by the importers."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from ccf_llm.data.importers.blocks import Blocks
from ccf_llm.data.importers.encoding import decode
from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError

NO_GENRE = ("", "unknown", "(no genres listed)")
SEPARATORS = ",;\t|"
EXCEL = re.compile(r"(?i)sep=(.)(?=\n)")  # what spreadsheets may write above the header
QUOTED = r'^"(?:[^"]|"")*"$'
RECORDS = 100_000
"""Of a table with quotation, so many are Python objects at a time."""
LONGEST = (1 << 31) - 1
"""Characters of a field: a description may be long."""
SAMPLE = 10_000
"""Rows, at least, that show whether a column says the same over and over."""


@dataclass(frozen=True)
class TextFormat:
    """How to read text files. Empty: find out."""

    encoding: str = ""
    separator: str = ""
    reading: Reading = field(default_factory=Reading)
    """Where what was found out is noted."""
    encodings: dict[str, str] = field(default_factory=dict)
    """File -> the encoding that it was read in."""
    separators: dict[str, str] = field(default_factory=dict)
    """File -> what was found between its fields."""

    def decode(self, content: bytes, path: object) -> str:
        """The text of a file; all kinds of line ends become one."""
        text, self.encodings[str(path)] = decode(content, path, self.encoding, self.reading)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def blocks(self, content: bytes | Path, path: object) -> Iterable[str]:
        """The same text as `decode` gives, to be gone through as often as wanted: in blocks of whole lines, or in one
        piece where it is not plain UTF-8.
        """
        blocks = Blocks(content)
        if self.encoding in ("", "utf-8") and blocks.is_plain:
            self.encodings[str(path)] = "utf-8-sig" if not self.encoding and blocks.is_marked else "utf-8"
            return blocks
        return [self.decode(content if isinstance(content, bytes) else content.read_bytes(), path)]


def read_separated(
    content: bytes | Path | None,
    path: Path,
    how: TextFormat,
    *,
    usual: str = ",",
    quotes: Literal["csv", "line", "none"] = "csv",
) -> pl.DataFrame:
    """All columns of a text table with a header, as text: nothing is guessed, so ids such as 007 stay what they are.

    In a large table columns of texts that come again and again are categorical.

    Args:
        content: of the file, or the file that holds it, which is then read bit by bit; None stands for a file that is
            not there.
        path: what errors call the file.
        how: its encoding and separator; a separator that is not given is the most frequent one of the header.
        usual: the separator where two are equally frequent.
        quotes: csv: fields in quotation marks may hold the separator and line breaks (RFC 4180, or marks escaped by a
            backslash); line: every line is a row, marks are kept, but for fields that a CSV writer quoted; none: kept.
            A separator of several characters means none.

    Raises:
        CCFError: a row with too few or too many fields, or a quotation that is not closed, by its line. No line is
            ever lost.
    """
    if content is None:
        raise CCFError(f"{path}: no such file")
    text = how.blocks(content, path)
    if told := EXCEL.match(begin := next(iter(text), "")):
        how = replace(how, separator=how.separator or told[1])
        text = replace(text, skip=told.end()) if isinstance(text, Blocks) else [begin[told.end() :]]
    header = next((block for block in text if block.strip()), "").lstrip("\n").partition("\n")[0]
    if not header.strip():
        raise CCFError(f"{path}: is empty; give a table with a header")
    separator = how.separator or max(SEPARATORS, key=lambda one: (header.count(one), one == usual))
    how.separators[str(path)] = separator
    marked = quotes != "none" and any('"' in block for block in text)
    if quotes == "csv" and marked and len(separator) == 1:
        return _quoted(text, separator, path)
    fields = _fields(text, separator, path)
    return _named([_unquoted(pl.concat(fields))] if quotes == "line" and marked else fields, path)


def split_lines(text: str, separator: str, columns: Sequence[str], path: Path) -> pl.DataFrame:
    """A text table without a header and with a separator of any length, as text columns; further fields are left."""
    lines = _lines(text)
    fields = lines["text"].str.split(separator)
    if (short := fields.list.len() < len(columns)).any():
        line = lines["line"][int(short.arg_true()[0])]
        raise CCFError(f"{path}: line {line} has too few fields; the file is cut or not MovieLens")
    return pl.DataFrame([fields.list.get(i).alias(name) for i, name in enumerate(columns)])


def _lines(text: str, first: int = 1) -> pl.DataFrame:
    """line (its number, from `first`) and text of the lines that hold something."""
    lines = pl.Series("text", [text]).str.split("\n").explode().to_frame().with_row_index("line", offset=first)
    return lines.filter(pl.col("text").str.strip_chars() != "")


def _fields(text: Iterable[str], separator: str, path: Path) -> Iterator[pl.DataFrame]:
    """The fields of a table without quotation, block by block; its first line is the header."""
    first, n = 1, 0
    for block in text:
        lines, first = _lines(block, first), first + block.count("\n")
        if not len(lines):
            continue
        n = n or lines["text"][0].count(separator) + 1
        found = lines["text"].str.count_matches(separator, literal=True) + 1
        if (wrong := found != n).any():
            row = int(wrong.arg_true()[0])
            raise _ragged(path, lines["line"][row], found[row], n)
        yield lines["text"].str.split_exact(separator, n - 1).struct.unnest()


def _quoted(text: Iterable[str], separator: str, path: Path) -> pl.DataFrame:
    """A table with quotation. Of the two ways to write a mark inside, the one that fits is taken."""
    tables, faults = [], []
    for escape in (None, "\\") if any('\\"' in block for block in text) else (None,):
        try:
            tables.append([*_records(text, separator, escape, path)])
        except CCFError as fault:
            faults.append(fault)
    if not tables:
        raise faults[0]
    return _named(max(tables, key=lambda table: sum(map(len, table))), path)  # the one that swallows fewer lines


def _records(text: Iterable[str], separator: str, escape: str | None, path: Path) -> Iterator[pl.DataFrame]:
    """The fields of some records at a time."""
    csv.field_size_limit(LONGEST)
    lines: list[str] = []  # of the record that is being read

    def one_by_one() -> Iterator[str]:
        for block in text:
            for line in io.StringIO(block, newline=""):
                lines.append(line)
                yield line

    reader = csv.reader(
        one_by_one(),
        delimiter=separator,
        escapechar=escape,
        skipinitialspace=any(f'{separator} "' in block for block in text),
        strict=True,
    )
    records: list[list[str]] = []
    first, n = 1, 0
    try:
        for record in reader:
            if record and (len(record) > 1 or record[0].strip()):
                n = n or len(record)
                if len(record) != n:
                    raise _ragged(path, first, len(record), n)
                if len(lines) > 1 and n > 1:
                    _refuse_swallowed([line.removesuffix("\n") for line in lines], first, separator, n, path)
                records.append(record)
            first = reader.line_num + 1
            lines.clear()
            if len(records) == RECORDS:
                yield _frame(records)
                records.clear()
    except csv.Error as error:
        reason = "a quotation mark is never closed" if "end of data" in str(error) else str(error)
        raise CCFError(
            f"{path}: line {first}: {reason}; correct the quotation marks there, or write tabs between "
            "the fields (.tsv)"
        ) from None
    if records:
        yield _frame(records)


def _frame(records: list[list[str]]) -> pl.DataFrame:
    return pl.DataFrame(list(zip(*records, strict=True)), schema=[f"field_{i}" for i in range(len(records[0]))])


def _refuse_swallowed(lines: list[str], first: int, separator: str, n: int, path: Path) -> None:
    """A quoted field over several lines, each of which would be a row by itself: a mark was meant as text."""
    keys = [line.partition(separator)[0].strip() for line in lines]
    alike = all(key.isdigit() == keys[0].isdigit() and (" " in key) <= (" " in keys[0]) for key in keys)
    if alike and all(line.count(separator) == n - 1 for line in lines):
        raise CCFError(
            f"{path}: line {first}: a quotation mark makes one row of lines {first} to {first + len(lines) - 1}, which "
            'look like rows of their own; write "" for a mark inside a quoted field, or tabs between the fields (.tsv)'
        )


def _ragged(path: Path, line: int, found: int, expected: int) -> CCFError:
    return CCFError(
        f"{path}: line {line} has {found} fields where the header has {expected}; correct the line, or give the "
        "--separator"
    )


def _named(parts: Iterable[pl.DataFrame], path: Path) -> pl.DataFrame:
    """The first row becomes the names of the columns; fields that are empty become null, as those of Parquet are.

    What spreadsheets append is left behind: columns without a name, and rows without any field.
    """
    names, tables, again = dict[str, str](), list[pl.DataFrame](), list[str]()
    for part in parts:
        if not tables:
            names = {
                column: name.strip() for column, name in zip(part.columns, part.row(0), strict=True) if name.strip()
            }
            if twice := [name for name in names.values() if list(names.values()).count(name) > 1]:
                raise CCFError(f"{path}: two columns are called {twice[0]!r}; rename one of them")
        fields = part.slice(0 if tables else 1).with_columns(pl.all().replace("", None))
        table = fields.filter(~pl.all_horizontal(pl.all().is_null())).select(*names).rename(names)
        again = again if tables else repeating(table)
        tables.append(table.with_columns(pl.col(again).cast(pl.Categorical)))
    if not names:
        raise CCFError(f"{path}: no column has a name; give a table with a header")
    return pl.concat(tables)


def repeating(table: pl.DataFrame) -> list[str]:
    """The columns of texts that say the same things over and over, as ids do: categorical, they take a quarter."""
    sample = table.head(10 * SAMPLE).select(pl.col(pl.String))
    if len(sample) < SAMPLE:
        return []
    return [column.name for column in sample.iter_columns() if 2 * column.n_unique() < len(sample)]


def _unquoted(fields: pl.DataFrame) -> pl.DataFrame:
    """Without the marks that a CSV writer put around all fields, or around those with marks inside, if one did."""
    text = pl.all()
    marked = text.str.starts_with('"')
    whole = text.str.contains(QUOTED)
    if not all(name.startswith('"') for name in fields.row(0)):
        whole &= text.str.slice(1).str.contains('""', literal=True)
    if not fields.select(pl.all_horizontal((~marked | whole).all())).item():
        return fields
    inside = text.str.slice(1, text.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    return fields.with_columns(pl.when(marked).then(inside).otherwise(text).name.keep())


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
