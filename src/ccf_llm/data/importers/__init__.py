"""Data sets in other people's formats."""

from pathlib import Path

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.benchmark import import_benchmark, is_benchmark
from ccf_llm.data.importers.columns import Columns, import_tables
from ccf_llm.data.importers.ifdb import import_ifdb, is_ifdb
from ccf_llm.data.importers.movielens import import_movielens, is_movielens
from ccf_llm.data.importers.recbole import import_recbole, is_recbole
from ccf_llm.data.importers.text import TextFormat
from ccf_llm.errors import CCFError

__all__ = [
    "Columns",
    "TextFormat",
    "import_benchmark",
    "import_ifdb",
    "import_movielens",
    "import_path",
    "import_recbole",
    "import_tables",
]


def import_path(
    path: str | Path,
    *,
    like_threshold: float | None = None,
    drop_unknown: bool = False,
    how: TextFormat | None = None,
) -> Dataset:
    """Read a folder or zip in whichever of the known formats it is; the options are those of `import_tables`."""
    path = Path(path)
    if not path.exists():
        raise CCFError(f"{path}: no such file or folder")
    if is_benchmark(path):
        return import_benchmark(path)
    if is_ifdb(path):
        return import_ifdb(path, drop_unknown=drop_unknown, reading=how.reading if how else None)
    if is_recbole(path):
        return import_recbole(path, like_threshold=like_threshold, drop_unknown=drop_unknown, how=how)
    if is_movielens(path):
        threshold = 4.0 if like_threshold is None else like_threshold  # their scale is known
        return import_movielens(path, like_threshold=threshold, drop_unknown=drop_unknown, how=how)
    raise CCFError(
        f"{path}: no known data set (a saved one, MovieLens, RecBole .inter, IFDB, or the ML-1M benchmark); "
        "for your own tables use `ccf-llm data import INTERACTIONS --items ITEMS`"
    )
