"""What a data set holds, in figures."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS, NewItems
from ccf_llm.data.ratings import histogram


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts for people and machines; `left_out` and `notes` tell what happened while the tables were read."""
    frame, reading = dataset.interactions, dataset.reading
    likes = int((frame["label"] == 1).sum())
    left_out = {"identical interactions": dataset.duplicates_dropped} if dataset.duplicates_dropped else {}
    pairs, items = dataset.user_vocabulary.encode(frame["user_id"]), dataset.item_vocabulary.encode(frame["item_id"])
    per_user, per_item = np.bincount(pairs)[1:], np.bincount(items)
    pairs *= len(dataset.items) + 1
    pairs += items
    pairs.sort()
    summary: dict[str, Any] = {
        "name": dataset.name,
        "interactions": len(frame),
        "users": len(dataset.user_vocabulary),
        "items": len(dataset.items),
        "items_met": int(np.count_nonzero(per_item)),
        "sparsity": round(1 - _distinct(pairs) / (len(dataset.user_vocabulary) * len(dataset.items)), 6),
        "likes": likes,
        "share_of_likes": round(likes / len(frame), 4),
        "like_threshold": dataset.like_threshold,
        "first": _date(frame["timestamp"].min()) if reading.timed else None,
        "last": _date(frame["timestamp"].max()) if reading.timed else None,
        "median_interactions_per_user": float(np.median(per_user)),
        "item_columns": dataset.items.columns,
        "rows_read": reading.rows or len(frame) + dataset.duplicates_dropped,
        "left_out": left_out | reading.left_out,
    }
    if "rating" in frame.columns:
        summary["ratings"] = histogram(frame["rating"])
    if dataset.split is not None:
        trained = frame.filter(pl.col("split") == "train")["user_id"].unique().implode()
        summary["split"] = {"rule": dataset.split.rule} | {
            part: _describe_part(frame.filter(pl.col("split") == part), trained) for part in PARTS
        }
        if dataset.split.new_items is not None:
            summary["split"]["new_items"] = _describe_new(frame, dataset.split.new_items)
    return summary | {"notes": [*reading.notes, *dataset.history_notes]}


def _describe_part(rows: pl.DataFrame, trained_users: pl.Series) -> dict[str, Any]:
    new = rows.filter(~pl.col("user_id").is_in(trained_users))
    return {
        "rows": len(rows),
        "users": rows["user_id"].n_unique(),
        "likes": int((rows["label"] == 1).sum()),
        "users_with_a_like": rows.filter(pl.col("label") == 1)["user_id"].n_unique(),
        "users_not_in_train": new["user_id"].n_unique(),
        "rows_of_users_not_in_train": len(new),
    }


def _describe_new(frame: pl.DataFrame, new: NewItems) -> dict[str, Any]:
    """What was taken out of train and valid, and how much of test it is."""
    mine = pl.col("item_id").is_in(list(new.items))
    liked = frame.filter((pl.col("split") == "test") & (pl.col("label") == 1))
    return {
        "by": new.by,
        "items": len(new.items),
        "rows": len(frame.filter(mine)),
        "share_of_test_likes": round(len(liked.filter(mine)) / len(liked), 4) if len(liked) else None,
    }


def _distinct(ordered: NDArray[np.int64]) -> int:
    return 1 + int(np.count_nonzero(np.diff(ordered)))


def _date(seconds: Any) -> str:
    return datetime.fromtimestamp(int(seconds), tz=UTC).isoformat()
