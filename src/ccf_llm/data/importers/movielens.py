"""MovieLens as GroupLens publishes it, unpacked or zipped: 100K, 1M, 10M and the CSV releases (20M, 25M, latest)."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.text import TextFormat, genres, read_separated, split_lines, title_year
from ccf_llm.errors import CCFError
from ccf_llm.io.archives import names_in, read_member

GENRES_100K = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
RATING_RANGE = (0.5, 5.0)
AGES_1M = {"1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+"}
OCCUPATIONS_1M = (
    *("other", "educator", "artist", "clerical work", "student", "customer service", "health care", "executive"),
    *("farmer", "homemaker", "school student", "lawyer", "programmer", "retired", "sales", "scientist"),
    *("self-employed", "engineer", "craftsman", "unemployed", "writer"),
)
"""By their number in `users.dat`; the words are ours where the release has two."""
MARKERS = ("u.data", "ratings.dat", "ratings.csv")


def is_movielens(path: Path) -> bool:
    """Whether the folder or zip holds one of the files of ratings."""
    return any(_names(path).get(marker) for marker in MARKERS)


def import_movielens(
    path: str | Path, *, like_threshold: float = 4.0, drop_unknown: bool = False, how: TextFormat | None = None
) -> Dataset:
    """Read a MovieLens folder or zip. The name of the data set is that of the folder inside."""
    how = how or TextFormat()
    path = Path(path)
    names = _names(path)
    marker = next((marker for marker in MARKERS if marker in names), None)
    if marker is None:
        raise CCFError(f"{path}: no MovieLens data (none of {', '.join(MARKERS)}); give the folder or zip of a release")
    readers = {"u.data": _read_100k, "ratings.dat": _read_dat, "ratings.csv": _read_csv}
    interactions, items, users = readers[marker](path, names, how)
    inner = PurePosixPath(names[marker]).parent.name
    return Dataset.from_frames(
        interactions,
        items,
        users=users,
        name=inner or path.resolve().stem,
        like_threshold=like_threshold,
        rating_range=RATING_RANGE,
        drop_unknown=drop_unknown,
        reading=how.reading,
    )


_Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame | None]


def _read_100k(path: Path, names: dict[str, str], how: TextFormat) -> _Tables:
    ratings = ("user_id", "item_id", "rating", "timestamp")
    interactions = _lines(path, names, "u.data", "\t", ratings, how)
    columns = ("item_id", "title", "release", "video", "url", *GENRES_100K)
    items = _lines(path, names, "u.item", "|", columns, how)
    flagged = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K[1:]]
    named = pl.concat_list(flagged).list.drop_nulls().list.join(", ").alias("genres")
    people = ("user_id", "age", "gender", "occupation", "zip_code")
    users = _lines(path, names, "u.user", "|", people, how) if "u.user" in names else None
    return interactions, items.select("item_id", "title", title_year(pl.col("title")), named), users


def _read_dat(path: Path, names: dict[str, str], how: TextFormat) -> _Tables:
    ratings = ("user_id", "item_id", "rating", "timestamp")
    interactions = _lines(path, names, "ratings.dat", "::", ratings, how)
    items = _lines(path, names, "movies.dat", "::", ("item_id", "title", "genres"), how)
    users = None
    if "users.dat" in names:
        people = ("user_id", "gender", "age", "occupation", "zip_code")
        occupations = {str(number): words for number, words in enumerate(OCCUPATIONS_1M)}
        users = _lines(path, names, "users.dat", "::", people, how).with_columns(
            pl.col("age").replace(AGES_1M), pl.col("occupation").replace(occupations)
        )
    return interactions, _with_year_and_genres(items), users


def _read_csv(path: Path, names: dict[str, str], how: TextFormat) -> _Tables:
    ids = {"userId": "user_id", "movieId": "item_id"}
    ratings, movies = (
        read_separated(_content(path, names, name), path / name, replace(how, separator=",")).rename(ids, strict=False)
        for name in ("ratings.csv", "movies.csv")
    )
    return ratings, _with_year_and_genres(movies), None


def _lines(
    path: Path, names: dict[str, str], name: str, separator: str, columns: tuple[str, ...], how: TextFormat
) -> pl.DataFrame:
    return split_lines(how.decode(_content(path, names, name), path / name), separator, columns, path / name)


def _with_year_and_genres(items: pl.DataFrame) -> pl.DataFrame:
    return items.select("item_id", "title", title_year(pl.col("title")), genres(pl.col("genres"), "|"))


def _names(path: Path) -> dict[str, str]:
    """Bare file name -> where it is in the folder or zip."""
    if path.is_dir():
        return {file.name: str(file.relative_to(path)) for file in path.iterdir() if file.is_file()}
    return {PurePosixPath(name).name: name for name in names_in(path)}


def _content(path: Path, names: dict[str, str], name: str) -> bytes:
    if name not in names:
        raise CCFError(f"{path}: no {name} in it; unpack or download the release again")
    return (path / names[name]).read_bytes() if path.is_dir() else read_member(path, names[name])
