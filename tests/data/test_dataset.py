import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.named import open_dataset
from ccf_llm.data.rows import Rows
from ccf_llm.data.split import global_time_split, split_dataset
from ccf_llm.errors import CCFError

ITEMS = pl.DataFrame({"item_id": ["x", "y", "z", "never"], "title": ["X", "Y", "Z", "[bold]N</script>"]})


def small() -> Dataset:
    interactions = pl.DataFrame(
        {
            "user_id": ["u", "v", "u", "u", "v", "w"],
            "item_id": ["z", "x", "y", "x", "y", "z"],
            "label": [1, 1, 0, 1, 1, 0],
            "timestamp": [30, 10, 10, 20, 40, 50],
        }
    )
    users = pl.DataFrame({"user_id": ["u"], "age": [33]})
    return Dataset.from_frames(interactions, ITEMS, users=users, name="small")


def test_frames_and_codes_are_in_the_order_of_the_ids() -> None:
    dataset = small()
    assert dataset.item_vocabulary.ids.to_list() == dataset.items["item_id"].to_list() == ["x", "y", "z", "never"]
    assert dataset.user_vocabulary.ids.to_list() == ["u", "v", "w"]
    rows = dataset.rows()
    assert rows.users.tolist() == [1, 1, 1, 2, 2, 3]
    assert rows.items.tolist() == [2, 1, 3, 1, 2, 3]
    assert rows.timestamps.tolist() == [10, 20, 30, 10, 40, 50]
    assert [rows.history(row).tolist() for row in range(6)] == [[], [], [1], [], [1], []]


def test_the_same_rows_in_any_order_are_the_same_data_set() -> None:
    dataset, shuffled = small(), small()
    frame = shuffled.interactions.sample(fraction=1, shuffle=True, seed=3)
    again = Dataset.from_frames(frame, ITEMS.reverse(), name="small")
    assert_frame_equal(again.interactions, dataset.interactions)
    assert_frame_equal(again.items, dataset.items)
    assert again.identity == dataset.identity


def test_identity_changes_with_all_that_decides_and_nothing_else() -> None:
    whole = global_time_split(small(), 0.5, 0.2)
    first = whole.identity
    relabelled = whole.interactions.with_columns(label=pl.when(pl.col("timestamp") == 10).then(0).otherwise("label"))
    other_label = Dataset.from_frames(relabelled, ITEMS).identity
    assert (other_label.users, other_label.items) == (first.users, first.items)
    assert other_label.train != first.train
    assert other_label.test != first.test  # its histories are others now
    moved = global_time_split(small(), 0.5, 0.4).identity
    assert (moved.all, moved.train) == (first.all, first.train)
    assert moved.valid != first.valid
    titles = ITEMS.with_columns(title=pl.lit("another"))
    assert Dataset.from_frames(whole.interactions, titles).identity == first
    more = pl.concat([ITEMS, pl.DataFrame({"item_id": ["w"], "title": ["W"]})])
    assert Dataset.from_frames(whole.interactions, more).identity.items != first.items


def test_likes_and_seen_items() -> None:
    dataset = small()
    assert dataset.likes_of("u").tolist() == [1, 3]
    assert dataset.seen_items("u").tolist() == [1, 2, 3]
    assert dataset.likes_of("w").tolist() == []
    assert dataset.seen_items("w").tolist() == [3]
    assert dataset.likes_of("stranger").tolist() == dataset.seen_items("stranger").tolist() == []


def test_likes_are_of_the_latest_label_and_once() -> None:
    interactions = pl.DataFrame(
        {"user_id": "u", "item_id": ["x", "y", "x", "y", "z", "z"], "label": [1, 1, 1, 0, 1, 1], "timestamp": range(6)}
    )
    dataset = Dataset.from_frames(interactions, ITEMS)
    assert dataset.item_vocabulary.decode(dataset.likes_of("u")) == ["x", "z"]
    assert dataset.item_vocabulary.decode(dataset.seen_items("u")) == ["x", "y", "z"]


def test_parts_keep_the_histories_of_the_whole() -> None:
    dataset = small()
    with pytest.raises(CCFError, match="has no split"):
        dataset.rows("train")
    split = global_time_split(dataset, train=0.5, valid=0.2)
    parts = [split.rows(part) for part in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [3, 1, 2]
    assert parts[1].history(0).tolist() == [1]  # u's like of x, a training row, is known input in valid
    assert len(split.rows("all")) == len(split.rows()) == 6
    assert split.history_notes == []


def test_a_given_split_that_is_not_by_time_leaks_nothing_through_histories() -> None:
    interactions = pl.DataFrame(
        {
            "user_id": "u",
            "item_id": ["x", "y", "z", "never"],
            "label": 1,
            "timestamp": [1, 2, 3, 4],
            "split": ["test", "train", "valid", "train"],
        }
    )
    dataset = Dataset.from_frames(interactions, ITEMS)
    train = dataset.rows("train")
    assert [dataset.item_vocabulary.decode(train.history(row)) for row in range(2)] == [[], ["y"]]
    assert dataset.item_vocabulary.decode(dataset.rows("valid").history(0)) == ["y"]
    assert dataset.history_notes[0].startswith("split: 3 rows come, in time, after rows of a later part")


def test_without_times_histories_hold_rows_of_train_alone() -> None:
    users, items = [f"u{u}" for u in range(6)], [f"i{i}" for i in range(10)]
    pairs = pl.DataFrame(
        [(u, i, int(i != "i3")) for u in users for i in items], schema=["user_id", "item_id", "label"], orient="row"
    )
    catalogue = pl.DataFrame({"item_id": items, "title": items})
    dataset = split_dataset(Dataset.from_frames(pairs, catalogue), 0.6, 0.2)
    assert not dataset.reading.timed
    names = dataset.item_vocabulary
    for user in range(1, 7):
        of = {part: (rows := dataset.rows(part)).take(rows.users == user) for part in ("train", "valid", "test")}
        learned = {item for item, label in zip(of["train"].items, of["train"].labels, strict=True) if label == 1}
        for part in ("valid", "test"):
            assert [set(of[part].history(row)) for row in range(len(of[part]))] == [learned] * len(of[part])
        lengths = sorted(len(of["train"].history(row)) for row in range(len(of["train"])))
        assert lengths[0] == 0
        assert lengths[-1] >= len(learned) - 1
    shuffled = Dataset.from_frames(pairs.sample(fraction=1, shuffle=True, seed=1), catalogue)
    assert split_dataset(shuffled, 0.6, 0.2).identity == dataset.identity
    assert names.decode(dataset.likes_of("u0")) != sorted(names.decode(dataset.likes_of("u0")))


def test_given_histories_reach_back_before_the_interactions() -> None:
    interactions = small().interactions.with_columns(history=pl.Series([[], ["never"], ["never", "x"], [], ["x"], []]))
    dataset = Dataset.from_frames(interactions, ITEMS)
    assert dataset.rows().history(2).tolist() == [4, 1]
    assert dataset.likes_of("u").tolist() == [4, 1, 3]
    assert dataset.seen_items("u").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("split", [False, True])
def test_save_and_load(tmp_path: Path, split: bool) -> None:
    dataset = global_time_split(small(), 0.5, 0.2, max_rows_per_user=1) if split else small()
    for _ in range(2):  # the second time over the first
        dataset.save(tmp_path / "small")
    loaded = Dataset.load(tmp_path / "small")
    assert_frame_equal(loaded.interactions, dataset.interactions)
    assert_frame_equal(loaded.items, dataset.items)
    assert loaded.users is not None
    assert loaded.users.to_dicts() == [{"user_id": "u", "age": "33"}]
    assert (loaded.name, loaded.split, describe(loaded)) == ("small", dataset.split, describe(dataset))


@pytest.mark.parametrize("timed", [True, False])
def test_pieces_are_whole_users_with_the_codes_and_histories_of_the_whole(tmp_path: Path, timed: bool) -> None:
    made = tiny.make_dataset()
    rows = made.interactions if timed else made.interactions.drop("timestamp").unique(["user_id", "item_id"])
    dataset = split_dataset(Dataset.from_frames(rows, made.items))
    dataset.save(tmp_path / "data")
    pieces = list(Dataset.pieces(tmp_path / "data", rows=100))
    assert len(pieces) > 4
    assert_frame_equal(pl.concat([piece.interactions for piece in pieces]), dataset.interactions)
    assert pl.concat([piece.user_vocabulary.ids for piece in pieces]).equals(dataset.user_vocabulary.ids)
    expected, found = dataset.rows("valid"), Rows.concat([piece.rows("valid") for piece in pieces])
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.padded_histories(9), expected.padded_histories(9))


def test_pieces_of_what_has_not_been_checked_are_refused(tmp_path: Path) -> None:
    small().save(tmp_path / "data")
    rows = tmp_path / "data/interactions.parquet"
    pl.read_parquet(rows).reverse().write_parquet(rows)
    with pytest.raises(CCFError, match=r"interactions.parquet: cut or damaged"):
        list(Dataset.pieces(tmp_path / "data"))
    tiny.unseal(tmp_path / "data")
    with pytest.raises(CCFError, match=r"data: its rows are not known to be sound and by user; load the data set and"):
        list(Dataset.pieces(tmp_path / "data"))


def test_damaged_folders_are_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    global_time_split(small(), 0.5, 0.2).save(folder)
    tiny.unseal(folder)
    moved = pl.read_parquet(folder / "interactions.parquet").with_columns(split=pl.lit("train"))
    moved.write_parquet(folder / "interactions.parquet")
    with pytest.raises(CCFError, match="rows are not those recorded"):
        Dataset.load(folder)
    moved.drop("item_id").write_parquet(folder / "interactions.parquet")
    with pytest.raises(CCFError, match=f"{folder}: interactions: no column `item_id`"):
        Dataset.load(folder)
    (folder / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(CCFError, match=r"items\.parquet: not a readable Parquet"):
        Dataset.load(folder)
    (folder / "schema.json").write_text(json.dumps({"format": 1, "name": "small", "duplicates_dropped": 0}))
    with pytest.raises(CCFError, match="`like_threshold` is missing"):
        Dataset.load(folder)
    (folder / "schema.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(CCFError, match="not a data set of format 1"):
        Dataset.load(folder)


def test_no_folder_and_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(CCFError, match="no saved data set"):
        Dataset.load(tmp_path / "nowhere")
    with pytest.raises(CCFError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(CCFError, match="no known data set"):
        open_dataset(tmp_path)


def test_describe_is_json() -> None:
    summary = describe(global_time_split(small(), 0.5, 0.2))
    assert json.loads(json.dumps(summary)) == summary
    assert summary["likes"] == 4
    assert summary["split"]["test"] == {
        "rows": 2,
        "users": 2,
        "likes": 1,
        "users_with_a_like": 1,
        "users_not_in_train": 1,
        "rows_of_users_not_in_train": 1,
    }
