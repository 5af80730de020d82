"""The k-core of a data set: users and items with enough interactions, and nothing else."""

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError


def k_core(dataset: Dataset, least: int) -> Dataset:
    """What is left when users and items with fewer than `least` interactions go, again and again until none has fewer.

    Items that nobody met go too. Raises `CCFError` where nothing is left.
    """
    frame, rounds = dataset.interactions, 0
    while True:
        enough = pl.all_horizontal(pl.len().over(name) >= least for name in ("user_id", "item_id"))
        kept = frame.filter(enough)
        if len(kept) == len(frame):
            break
        frame, rounds = kept, rounds + 1
    if len(frame) == 0:
        raise CCFError(
            f"data set {dataset.name!r}: nothing is left where every user and item has at least {least} interactions; "
            "take a smaller --min-interactions"
        )
    items = dataset.items.filter(pl.col("item_id").is_in(frame["item_id"].unique().implode()))
    if "history" in frame.columns:
        known = pl.element().is_in(items["item_id"].to_list())
        frame = frame.with_columns(pl.col("history").list.filter(known))
    smaller = dataset.with_tables(frame, items)
    reason = f"interactions of users or items with fewer than {least}"
    smaller.reading.leave_out(reason, len(dataset.interactions) - len(frame))
    users, of_users = (rows["user_id"].n_unique() for rows in (frame, dataset.interactions))
    smaller.reading.note(
        f"at least {least} interactions for every user and item, after {rounds} rounds: {len(frame):,} of "
        f"{len(dataset.interactions):,} interactions, {users:,} of {of_users:,} users and {len(items):,} of "
        f"{len(dataset.items):,} items are left"
    )
    return smaller
