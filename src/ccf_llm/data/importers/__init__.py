"""Data sets in other people's formats."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from polars.exceptions import PolarsError

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.amazon import AMAZON_2018, AMAZON_2023
from ccf_llm.data.importers.benchmark import import_benchmark, is_benchmark
from ccf_llm.data.importers.bookcrossing import BOOK_CROSSING
from ccf_llm.data.importers.collm import import_collm, is_collm
from ccf_llm.data.importers.columns import Columns, Tables, dataset_of, import_tables
from ccf_llm.data.importers.goodreads import GOODREADS
from ccf_llm.data.importers.guess import guess_columns
from ccf_llm.data.importers.ifdb import import_ifdb, is_ifdb
from ccf_llm.data.importers.lines import FirstLines
from ccf_llm.data.importers.mind import MIND
from ccf_llm.data.importers.movielens import import_movielens, is_movielens
from ccf_llm.data.importers.recbole import import_recbole, is_recbole
from ccf_llm.data.importers.release import Release
from ccf_llm.data.importers.steam import STEAM
from ccf_llm.data.importers.steam_200k import import_steam_200k, is_steam_200k
from ccf_llm.data.importers.text import TextFormat
from ccf_llm.errors import CCFError, one_line

__all__ = [
    "FORMATS",
    "Columns",
    "Format",
    "Found",
    "Tables",
    "TextFormat",
    "dataset_of",
    "format_of",
    "guess_columns",
    "import_benchmark",
    "import_collm",
    "import_ifdb",
    "import_movielens",
    "import_path",
    "import_recbole",
    "import_tables",
]


Reader = Callable[[float | None, bool, TextFormat], Dataset]
"""Of a path: takes like_threshold, drop_unknown and how."""


class Format(NamedTuple):
    """What a folder, zip or file may hold."""

    name: str
    find: Callable[[Path, FirstLines], Reader | None]
    """What reads the path; None where it is in another format."""


class Found(NamedTuple):
    """A path in a known format."""

    format: str
    path: Path
    reader: Reader

    def read(self, like_threshold: float | None, drop_unknown: bool, how: TextFormat) -> Dataset:
        """The data set there; a `CCFError` where a column is not there, or twice."""
        try:
            return self.reader(like_threshold, drop_unknown, how)
        except PolarsError as error:
            reason = one_line(error)
            raise CCFError(
                f"{self.path}: not as its format has it ({reason}); correct it, or name its tables"
            ) from None


def _format(
    name: str, is_in: Callable[[Path], bool], reader: Callable[[Path, float | None, bool, TextFormat], Dataset]
) -> Format:
    return Format(name, lambda path, _: partial(reader, path) if is_in(path) else None)


def _release(release: Release) -> Format:
    def find(path: Path, lines: FirstLines) -> Reader | None:
        if (files := release.find(path, lines)) is None:
            return None
        return lambda threshold, drop, how: release.read(
            path, files, like_threshold=threshold, drop_unknown=drop, how=how
        )

    return Format(release.name, find)


FORMATS = (
    _format("ML-1M benchmark", is_benchmark, lambda path, *_: import_benchmark(path)),
    _format("CoLLM's parts", is_collm, lambda path, *_: import_collm(path)),
    _format("IFDB", is_ifdb, lambda path, _, drop, how: import_ifdb(path, drop_unknown=drop, reading=how.reading)),
    _format(
        "RecBole",
        is_recbole,
        lambda path, threshold, drop, how: import_recbole(path, like_threshold=threshold, drop_unknown=drop, how=how),
    ),
    _format("Kaggle's Steam", is_steam_200k, lambda path, _, __, how: import_steam_200k(path, how=how)),
    *map(_release, (AMAZON_2018, AMAZON_2023, GOODREADS, BOOK_CROSSING, STEAM, MIND)),
    _format(
        "MovieLens",
        is_movielens,
        lambda path, threshold, drop, how: import_movielens(
            path, like_threshold=4.0 if threshold is None else threshold, drop_unknown=drop, how=how
        ),  # their scale is known
    ),
)
"""Known formats, the surest first."""


def format_of(path: str | Path) -> Found:
    """The format that the folder, zip or file is in; `CCFError` where it is none that is known."""
    path = Path(path)
    if not path.exists():
        raise CCFError(f"{path}: no such file or folder")
    lines = FirstLines()
    for known in FORMATS:
        if (reader := known.find(path, lines)) is not None:
            return Found(known.name, path, reader)
    names = ", ".join(known.name for known in FORMATS)
    raise CCFError(
        f"{path}: no known data set (a saved one, {names}; docs/data.md says which files each has); for your own "
        "tables use `ccf-llm data import INTERACTIONS --items ITEMS`"
    )


def import_path(
    path: str | Path,
    *,
    like_threshold: float | None = None,
    drop_unknown: bool = False,
    how: TextFormat | None = None,
) -> Dataset:
    """Read a folder or zip in whichever of the known formats it is; the options are those of `import_tables`."""
    return format_of(path).read(like_threshold, drop_unknown, how or TextFormat())
