"""Book-Crossing: `BX-Book-Ratings.csv`, `BX-Books.csv` and `BX-Users.csv`, or Kaggle's `Ratings.csv` and so on.

The BX files are of 2004: fields in quotation marks between semicolons, in Latin-1, one record a line. Marks inside are
escaped in some lines and not in others, so the fields are parted at `";"`, and lines that do not have all of them are
left out. See http://www2.informatik.uni-freiburg.de/~cziegler/BX
"""

from pathlib import Path

import polars as pl

from ccf_llm.data.importers.lines import Lines
from ccf_llm.data.importers.release import Release, Table
from ccf_llm.data.importers.text import TextFormat, read_separated, year

BETWEEN = '";"'


def _names(header: str) -> list[str]:
    return header.strip().strip('"').split(BETWEEN if BETWEEN in header else ",")


def _scan(path: Path, names: list[str], how: TextFormat) -> pl.LazyFrame:
    text = how.decode(path.read_bytes(), path)
    header = text.partition("\n")[0]
    if BETWEEN not in header:
        return read_separated(path.read_bytes(), path, how).select(names).lazy()
    fields = _names(header)
    lines = pl.Series("line", text.split("\n")[1:]).str.strip_chars()
    lines = lines.filter(lines != "").str.replace(r";NULL$", ';""').str.strip_prefix('"').str.strip_suffix('"')
    whole = lines.filter(lines.str.count_matches(BETWEEN, literal=True) == len(fields) - 1)
    how.reading.leave_out(f"lines of {path.name} with too few or too many fields", len(lines) - len(whole))
    parts = whole.str.split_exact(BETWEEN, len(fields) - 1).struct.rename_fields(fields).struct.unnest()
    return parts.lazy().select(pl.col(names).str.replace_all(r"\\(.)", "$1").replace("", None))


LINES = Lines(_names, _scan)

BOOK_CROSSING = Release(
    name="Book-Crossing",
    interactions=Table(
        LINES,
        ("BX-Book-Ratings.csv", "Ratings.csv"),
        {"User-ID": "user_id", "ISBN": "item_id", "Book-Rating": "rating"},
    ),
    items=Table(
        LINES,
        ("BX-Books.csv", "Books.csv"),
        {
            "ISBN": "item_id",
            "Book-Title": "title",
            "Book-Author": "author",
            "Year-Of-Publication": "year",
            "Publisher": "publisher",
        },
        shape=lambda frame: frame.with_columns(year(pl.col("year"))),
    ),
    users=Table(LINES, ("BX-Users.csv", "Users.csv"), {"User-ID": "user_id", "Location": "location", "Age": "age"}),
    like_threshold=8.0,
    unrated=True,
)
