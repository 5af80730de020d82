"""Data sets known by name, fetched once into the cache."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.importers import import_movielens, import_path, import_recbole
from ccf_llm.errors import CCFError
from ccf_llm.io.cache import cache_folder, scratch_folder
from ccf_llm.io.fetch import announce, download, wheel_members

NAMES = ("ml-100k",)
RECBOLE = ("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
RECBOLE_FILES = tuple(f"recbole/dataset_example/ml-100k/ml-100k.{ending}" for ending in ("inter", "item", "user"))
GROUPLENS = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
GROUPLENS_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
COUNTS = {"interactions": 100_000, "users": 943, "items": 1_682}


def named_folder(name: str) -> Path:
    """Where the data set of that name is, or will be, in the cache."""
    if name not in NAMES:
        raise CCFError(f"no data set is called {name!r}; known: {', '.join(NAMES)}")
    return cache_folder() / "data" / name


def fetch(name: str, *, force: bool = False) -> Path:
    """The saved data set `name`, not split; fetched unless a sound copy is in the cache.

    ml-100k is MovieLens-100K (GroupLens; research use), as it comes with RecBole on the package registry or, where that
    is out of reach, from GroupLens itself. Raises `CCFError` where neither can be reached.
    """
    folder = named_folder(name)
    if not force and _is_sound(folder):
        return folder
    with scratch_folder(folder.parent) as temporary:
        dataset = _fetch_ml_100k(temporary)
    found = describe(dataset)
    if any(found[key] != count for key, count in COUNTS.items()):
        raise CCFError(f"{name}: the source does not hold the {COUNTS['interactions']} known ratings; try again later")
    dataset.save(folder)
    return folder


def open_dataset(name_or_folder: str | Path) -> Dataset:
    """A data set known by name (fetched on first use), a saved one, or a folder or zip of any known format."""
    path = fetch(str(name_or_folder)) if str(name_or_folder) in NAMES else Path(name_or_folder)
    if not path.exists():
        raise CCFError(f"{path}: no such folder; make one with `ccf-llm data fetch` or `ccf-llm data import`")
    dataset = Dataset.load(path) if (path / "schema.json").is_file() else import_path(path)
    return replace(dataset, source=str(name_or_folder))


def _fetch_ml_100k(temporary: Path) -> Dataset:
    try:
        wheel_members(*RECBOLE, RECBOLE_FILES, temporary / "ml-100k")
        return import_recbole(temporary / "ml-100k")
    except CCFError as first:
        announce(f"{first}; trying {GROUPLENS}")
        try:
            download(GROUPLENS, temporary / "ml-100k.zip", sha256=GROUPLENS_SHA256)
        except CCFError as second:
            raise CCFError(f"ml-100k: {first}; and {second}; or import a copy: `ccf-llm data import`") from None
        dataset = import_movielens(temporary / "ml-100k.zip")
        # RecBole's copy has the year in a column of its own, not in the title; both sources give the same titles.
        plain = pl.col("title").str.replace(r" \(\d{4}\)\s*$", "")
        return replace(dataset, items=dataset.items.with_columns(plain))


def _is_sound(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        Dataset.load(folder)
    except CCFError as error:
        announce(f"{error}; fetching it again")
        shutil.rmtree(folder)
        return False
    return True
