"""Splits that take some items out of train and valid."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.likes import targets
from ccf_llm.data.manifest import NewItems
from ccf_llm.data.split import split_dataset
from ccf_llm.errors import CCFError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return tiny.make_dataset()


def split(dataset: Dataset, share: float = 0.25, **options: Any) -> Dataset:
    return split_dataset(dataset, by="user", new_items=share, **options)


def held_out(dataset: Dataset) -> NewItems:
    assert dataset.split is not None
    assert dataset.split.new_items is not None
    return dataset.split.new_items


@pytest.mark.parametrize("by", ["time", "drawn"])
def test_all_rows_of_new_items_are_test_and_the_others_stay(dataset: Dataset, by: str) -> None:
    ordinary, found = split_dataset(dataset, by="user"), split(dataset, new_items_by=by)
    new = held_out(found)
    met = dataset.interactions["item_id"].n_unique()
    assert (new.by, len(new.items)) == (by, round(met / 4))
    mine = pl.col("item_id").is_in(list(new.items))
    assert found.interactions.filter(mine)["split"].unique().to_list() == ["test"]
    assert_frame_equal(found.interactions.filter(~mine), ordinary.interactions.filter(~mine))


def test_by_time_the_new_items_are_those_first_met_last(dataset: Dataset) -> None:
    new = held_out(split(dataset)).items
    first = dataset.interactions.group_by("item_id").agg(pl.col("timestamp").min())
    last = first.filter(pl.col("item_id").is_in(list(new)))["timestamp"]
    others = first.filter(~pl.col("item_id").is_in(list(new)))["timestamp"]
    assert min(last.to_list()) >= max(others.to_list())


def test_a_draw_goes_by_the_seed_and_the_ids_alone(dataset: Dataset) -> None:
    drawn = [held_out(split(dataset, new_items_by="drawn", seed=seed)).items for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    shuffled = Dataset.from_frames(
        dataset.interactions.select("user_id", "item_id", "label", "timestamp").sample(
            fraction=1, shuffle=True, seed=5
        ),
        dataset.items.reverse(),
    )
    assert held_out(split(shuffled, new_items_by="drawn")).items == drawn[0]


def test_nothing_that_is_known_before_test_holds_a_new_item(dataset: Dataset) -> None:
    found = split(dataset, new_items_by="drawn")
    codes = set(found.item_vocabulary.encode(pl.Series(held_out(found).items)).tolist())
    for part in ("train", "valid"):
        rows = found.rows(part)
        assert not codes & set(rows.items.tolist())
        assert not codes & {int(item) for row in range(len(rows)) for item in rows.history(row)}
    asked = targets(found, "test")
    assert not codes & {int(item) for of in (*asked.histories, *asked.seen) for item in of}
    rows = dataset.interactions.filter(pl.col("item_id").is_in(list(held_out(found).items)))
    latest = rows.unique(["user_id", "item_id"], keep="last", maintain_order=True)
    wanted = sum(int(item) in codes for of in asked.items for item in of)
    assert wanted == int((latest["label"] == 1).sum())  # whenever they were liked


def test_describe_says_what_it_leaves_and_it_survives_saving(dataset: Dataset, tmp_path: Path) -> None:
    found = split(dataset)
    told = describe(found)
    new = told["split"]["new_items"]
    assert (new["by"], new["items"]) == ("time", len(held_out(found).items))
    rows = found.interactions.filter(pl.col("item_id").is_in(list(held_out(found).items)))
    test_likes = found.interactions.filter(pl.col("split") == "test", pl.col("label") == 1)
    assert new["rows"] == len(rows)
    assert new["share_of_test_likes"] == round(int((rows["label"] == 1).sum()) / len(test_likes), 4)
    assert "new_items" not in describe(split_dataset(dataset, by="user"))["split"]
    found.save(tmp_path / "d")
    loaded = Dataset.load(tmp_path / "d")
    assert loaded.split == found.split
    assert loaded.identity == found.identity


def test_without_new_items_nothing_changes(dataset: Dataset) -> None:
    plain = split_dataset(dataset, by="user")
    assert_frame_equal(split(dataset, 0).interactions, plain.interactions)
    assert split(dataset, 0).split == plain.split


def test_without_times_they_are_drawn(dataset: Dataset) -> None:
    pairs = dataset.interactions.select("user_id", "item_id", "label").unique(["user_id", "item_id"])
    untimed = Dataset.from_frames(pairs, dataset.items)
    assert held_out(split_dataset(untimed, new_items=0.2)).by == "drawn"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, r"^split: new_items 1.0 is a share of the items; give 0 or more, and less than 1$"),
        ({"share": 0.001}, r"^split: new_items 0.001 of \d+ items leaves none new or none known; give another share$"),
        ({"new_items_by": "age"}, r"^split: new_items_by 'age' is none of time, drawn$"),
    ],
)
def test_what_cannot_be_is_refused(dataset: Dataset, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        split(dataset, **options)


def test_a_share_that_empties_a_part_is_refused() -> None:
    rows = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("v", "d", 1), ("v", "e", 2)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").with_columns(label=1)
    few = Dataset.from_frames(frame, frame.select("item_id", title=pl.lit("T")))
    with pytest.raises(CCFError, match=r"^split: without the new items the \w+ part is empty; give a smaller share"):
        split_dataset(few, by="last", new_items=0.8)


def test_targets_among_new_items_leave_nothing_else_to_find(dataset: Dataset) -> None:
    found = split(dataset, new_items_by="drawn")
    codes = np.sort(found.item_vocabulary.encode(pl.Series(held_out(found).items)))
    asked, n_items = targets(found, "test"), len(found.item_vocabulary)
    alone = asked.among(codes, n_items)
    wanted = {int(user): np.intersect1d(of, codes) for user, of in zip(asked.users, asked.items, strict=True)}
    assert alone.users.tolist() == [user for user, of in wanted.items() if len(of)]
    for user, items, seen in zip(alone.users, alone.items, alone.seen, strict=True):
        np.testing.assert_array_equal(items, wanted[int(user)])
        np.testing.assert_array_equal(np.setdiff1d(np.arange(1, n_items + 1), seen), codes)
    assert len(asked.among(codes[:0], n_items)) == 0
