"""The ML-1M split that CCF-LLM, CoLLM, BinLLM and others report on, as a folder of Parquet files.

`train.parquet`, `valid.parquet` and `test.parquet` hold user_id, item_id, label, timestamp and history (the items liked
before the row, oldest first); `items.parquet` holds item_id and title. The user brings the folder: MovieLens may not be
passed on.
"""

from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS
from ccf_llm.data.validate import require
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.parquet import read_parquet

COLUMNS = ["user_id", "item_id", "label", "timestamp", "history"]


def is_benchmark(folder: Path) -> bool:
    """Whether the folder holds the four files."""
    return all((folder / f"{name}.parquet").is_file() for name in (*PARTS, "items"))


def import_benchmark(folder: str | Path) -> Dataset:
    """Read the folder: labels, split, histories and the order of the rows as they are."""
    folder = Path(folder)
    frames = []
    for part in PARTS:
        frame = read_parquet(folder / f"{part}.parquet")
        require(frame, f"{folder / part}.parquet", COLUMNS)
        frames.append(frame.select(COLUMNS).with_columns(pl.lit(part).alias("split")))
    try:
        interactions = pl.concat(frames, how="vertical_relaxed")
        return Dataset.from_frames(interactions, read_parquet(folder / "items.parquet"), name=folder.resolve().name)
    except pl.exceptions.PolarsError as error:
        reason = one_line(error)
        raise CCFError(f"{folder}: the three parts do not fit together ({reason}); fetch the folder again") from None
