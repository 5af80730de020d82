r"""RecBole's atomic files: `NAME.inter`, `NAME.item` and optionally `NAME.user`.

Tab-separated text with a header of `field:type`, where type is token, token_seq, float or float_seq; sequences are
separated by spaces. See https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.text import TextFormat, genres, read_separated, renamed, year
from ccf_llm.errors import CCFError

TITLES = ("title", "movie_title", "item_name", "name", "track_name", "book_title")
GENRES = ("genres", "genre", "class", "categories", "category")
YEARS = ("year", "release_year")


def is_recbole(folder: Path) -> bool:
    """Whether the folder holds an `.inter` file."""
    return folder.is_dir() and any(folder.glob("*.inter"))


def import_recbole(
    folder: str | Path,
    *,
    like_threshold: float | None = None,
    drop_unknown: bool = False,
    how: TextFormat | None = None,
) -> Dataset:
    """Read the one `.inter` file of a folder, with its `.item` file and, where there is one, its `.user` file."""
    how = replace(how or TextFormat(), separator="\t")
    folder = Path(folder)
    found = sorted(folder.glob("*.inter"))
    if len(found) != 1:
        raise CCFError(f"{folder}: {len(found)} .inter files; give a folder with exactly one")
    interactions, items, users = (found[0].with_suffix(ending) for ending in (".inter", ".item", ".user"))
    return Dataset.from_frames(
        _read(interactions, how),
        _items(_read(items, how), items),
        users=_read(users, how) if users.exists() else None,
        name=found[0].stem,
        like_threshold=like_threshold,
        drop_unknown=drop_unknown,
        reading=how.reading,
    )


def _read(path: Path, how: TextFormat) -> pl.DataFrame:
    frame = read_separated(path.read_bytes() if path.is_file() else None, path, how, quotes="none")
    return frame.rename({name: name.split(":")[0] for name in frame.columns})


def _items(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    frame = renamed(frame, "title", TITLES, path)
    for name, sources in (("year", YEARS), ("genres", GENRES)):
        frame = renamed(frame, name, sources)
    if "year" in frame.columns:
        frame = frame.with_columns(year(pl.col("year")))
    if "genres" in frame.columns:
        frame = frame.with_columns(genres(pl.col("genres"), " "))
    return frame
