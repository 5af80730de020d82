"""The parts that CoLLM publishes (ML-1M and Amazon-Book), which many systems since report on.

`train_ood2.pkl`, `valid_ood2.pkl` and `test_ood2.pkl` are pickles, and reading a pickle can run what somebody put into
it. So they are not read here: whoever trusts them writes each as `train_ood2.parquet` and so on (see docs/data.md).
Columns: uid, iid, label, timestamp, his (ids liked before, oldest first, after a 0) and title.
See https://github.com/zyang1580/CoLLM
"""

from pathlib import Path

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.benchmark import read_parts
from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError

PARQUET, PICKLE = "{}_ood2.parquet", "{}_ood2.pkl"
COLUMNS = {
    "uid": "user_id",
    "iid": "item_id",
    "label": "label",
    "timestamp": "timestamp",
    "his": "history",
    "title": "title",
}


def is_collm(folder: Path) -> bool:
    """Whether the folder holds the part for training, in whichever form."""
    return any((folder / name.format("train")).is_file() for name in (PARQUET, PICKLE))


def import_collm(folder: str | Path) -> Dataset:
    """Read the three parts: labels, split and histories as they are; of rows of one user, item and second the first."""
    folder, reading = Path(folder), Reading()
    if not (folder / PARQUET.format("train")).is_file():
        raise CCFError(
            f"{folder}: holds pickles, which may run code when they are read; write them as Parquet in an environment "
            "that you trust them with (docs/data.md), and import that folder"
        )
    rows = read_parts(folder, PARQUET, list(COLUMNS)).rename(COLUMNS)
    single = rows.unique(["user_id", "item_id", "timestamp"], keep="first", maintain_order=True)
    reading.leave_out("interactions that come again with the same user, item and second", len(rows) - len(single))
    histories = pl.col("history").cast(pl.List(pl.String)).list.filter(pl.element() != "0")
    items = rows.select("item_id", pl.col("title").str.strip_chars()).unique("item_id", keep="first")
    dataset = Dataset.from_frames(
        single.drop("title").with_columns(histories), items, name=folder.resolve().name, reading=reading
    )
    reading.rows = len(rows)
    return dataset
