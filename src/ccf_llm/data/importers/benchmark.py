"""The ML-1M split that CCF-LLM, CoLLM, BinLLM and others report on, as a folder of Parquet files.

`train.parquet`, `valid.parquet` and `test.parquet` hold user_id, item_id, label, timestamp and history (the items liked
before the row, oldest first); `items.parquet` holds item_id and title, `genres.parquet`
item_id and genres, which the published protocol does not read. The user brings the folder: MovieLens may not be
passed on.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS
from ccf_llm.data.validate import check_items, require
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.parquet import read_parquet

GENRES = "genres"
COLUMNS = ["user_id", "item_id", "label", "timestamp", "history"]


def is_benchmark(folder: Path) -> bool:
    """Whether the folder holds the four files."""
    return all((folder / f"{name}.parquet").is_file() for name in (*PARTS, "items"))


def import_benchmark(folder: str | Path) -> Dataset:
    """Read the folder: labels, split, histories and the order of the rows as they are."""
    folder = Path(folder)
    interactions = read_parts(folder, "{}.parquet", COLUMNS)
    return Dataset.from_frames(interactions, read_parquet(folder / "items.parquet"), name=folder.resolve().name)


def read_parts(folder: Path, name: str, columns: list[str]) -> pl.DataFrame:
    """The columns of the three parts and `split`, which of them a row is from; `name.format(part)` is a part's file."""
    frames = []
    for part in PARTS:
        path = folder / name.format(part)
        frame = read_parquet(path)
        require(frame, str(path), columns)
        frames.append(frame.select(columns).with_columns(pl.lit(part).alias("split")))
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = one_line(error)
        raise CCFError(f"{folder}: the three parts do not fit together ({reason}); fetch the folder again") from None


def add_genres(dataset: Dataset, folder: Path) -> Dataset:
    """The data set of the folder with the column `genres`, empty for an item that the file leaves out."""
    path = folder / f"{GENRES}.parquet"
    found = read_parquet(path)
    require(found, str(path), ["item_id", GENRES])
    titled = check_items(found.select("item_id", GENRES, title=pl.lit("any"))).select("item_id", GENRES)
    items = dataset.items.join(titled, on="item_id", how="left", maintain_order="left")
    return replace(dataset, items=items.with_columns(pl.col(GENRES).fill_null("")))
