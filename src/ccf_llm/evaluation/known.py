"""What a data set knows of the users and items in ranked lists; it opens figures that lists alone cannot give."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.categories import categories
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import PARTS, Part
from ccf_llm.errors import CCFError

Among = Literal["all", "new"]
"""What stands in a list: the whole catalogue, or new items alone."""


@dataclass(frozen=True)
class Known:
    """What is None leaves its figures out."""

    popularity: pl.DataFrame | None = None
    """item_id, likes: every item of the catalogue, and how many users like it in training."""
    histories: pl.DataFrame | None = None
    """user_id, likes: how many items each user likes in training; 0 for a user who is not there."""
    targets: pl.DataFrame | None = None
    """user_id, item_id: every target of the part that was measured."""
    vectors: NDArray[np.floating[Any]] | None = None
    """(n_items, d) in the order of `popularity`; their cosine says how alike two items are."""
    new: pl.Series | None = None
    """Ids of the items that the split held out; their share of lists and hits is then told."""
    people: pl.DataFrame | None = None
    """user_id and further columns: words of users (`people_of`), for figures of each group of them."""

    @classmethod
    def of(cls, dataset: Dataset, part: Part = "test", among: Among = "all") -> Self:
        """Popularity and histories from train, targets from `part`, categories as vectors where the items have some.

        A target is an item that the user likes in `part` and has met in no earlier part. Of what a user met more than
        once in a part the latest label counts. `among` `new`: of lists in which the items that the split held out are
        ranked among themselves, so that these alone are targets; raises `CCFError` where it held out none.
        """
        if dataset.split is None:
            raise CCFError(f"data set {dataset.name!r} has no split; make one with `ccf-llm data split`")
        pair, rows = ["user_id", "item_id"], dataset.interactions
        earlier = rows.filter(pl.col("split").is_in(PARTS[: PARTS.index(part)])).select(pair)
        likes = {
            name: rows.filter(pl.col("split") == name)
            .unique(pair, keep="last", maintain_order=True)
            .filter(pl.col("label") == 1)
            .select(pair)
            for name in ("train", part)
        }
        new = held_out(dataset)
        wanted = likes[part].join(earlier, on=pair, how="anti")
        if among == "new":
            if new is None:
                raise CCFError(
                    f"data set {dataset.name!r}: its split holds out no new items; split it with `--new-items`"
                )
            wanted = wanted.filter(pl.col("item_id").is_in(new.implode()))
        counts = likes["train"].group_by("item_id").agg(pl.len().cast(pl.Int64).alias("likes"))
        return cls(
            popularity=dataset.items.select("item_id")
            .join(counts, on="item_id", how="left", maintain_order="left")
            .with_columns(pl.col("likes").fill_null(0)),
            histories=likes["train"].group_by("user_id").agg(pl.len().cast(pl.Int64).alias("likes")),
            targets=wanted,
            vectors=categories(dataset.items),
            new=new if among == "all" else None,
        )

    @cached_property
    def is_new(self) -> NDArray[np.bool_]:
        """(n_items,) in the order of `popularity`, which items are new."""
        assert self.popularity is not None
        if self.new is None:
            return np.zeros(len(self.popularity), dtype=bool)
        found: NDArray[np.bool_] = self.popularity["item_id"].is_in(self.new.implode()).to_numpy()
        return found

    def check(self, lists: pl.DataFrame) -> None:
        """Refuse lists of items outside the catalogue, or of other targets than these."""
        if self.popularity is not None:
            unknown = lists.filter(
                pl.col("item_id").is_not_null() & ~pl.col("item_id").is_in(self.popularity["item_id"].implode())
            )
            if len(unknown):
                row = unknown.row(0, named=True)
                raise CCFError(
                    f"lists: method {row['method']}, user {row['user_id']}: item {row['item_id']} is not in the "
                    "catalogue; name the data set that the lists were made of"
                )
        if self.targets is not None:
            self._check_targets(self.targets, lists)

    def _check_targets(self, targets: pl.DataFrame, lists: pl.DataFrame) -> None:
        counts = targets.group_by("user_id").agg(pl.len().cast(pl.Int64).alias("there"))
        marked = (
            lists.join(counts, on="user_id", how="left")
            .join(targets.with_columns(pl.lit(True).alias("right")), on=["user_id", "item_id"], how="left")
            .with_columns(pl.col("there").fill_null(0), pl.col("right").fill_null(False))
        )
        wrong = marked.filter((pl.col("there") != pl.col("targets")) | (pl.col("right") != pl.col("relevant")))
        if len(wrong):
            row = wrong.row(0, named=True)
            raise CCFError(
                f"lists: user {row['user_id']} has {row['targets']} targets in the lists and {row['there']} in the "
                f"data, item {row['item_id']} is {'' if row['relevant'] else 'not '}relevant in the lists and "
                f"{'a' if row['right'] else 'no'} target in the data; name the data set and part that they are of"
            )


def held_out(dataset: Dataset) -> pl.Series | None:
    """Ids of the items that the split holds out as new, where it holds out some."""
    if dataset.split is None or dataset.split.new_items is None:
        return None
    return pl.Series("item_id", dataset.split.new_items.items, dtype=pl.String)
