import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.examine import examine
from ccf_llm.data.split import global_time_split, user_time_split
from ccf_llm.data.text_faults import same_titles, scripts, text_faults
from ccf_llm.data.which_task import which_task


def frames(**columns: list[object]) -> Dataset:
    """Interactions of items i0, i1, ..."""
    interactions = pl.DataFrame(columns)
    ids = interactions["item_id"].unique().sort()
    return Dataset.from_frames(interactions, pl.DataFrame({"item_id": ids, "title": [f"Item {one}" for one in ids]}))


def test_shares_and_users_are_those_of_the_parts(tiny_data: Dataset) -> None:
    found = examine(tiny_data)
    frame = tiny_data.interactions
    test, train = frame.filter(pl.col("split") == "test"), frame.filter(pl.col("split") == "train")
    part = found["measured"]["test"]
    assert part["rows"] == len(test)
    assert part["share_warm"] + part["share_cold"] + part["share_new_items"] == pytest.approx(1, abs=2e-4)
    both = test.group_by("user_id").agg(pl.col("label").n_unique()).filter(pl.col("label") == 2)
    assert part["users_behind"]["UAUC"] == len(both)
    assert part["users_behind"]["AUC"] == test["user_id"].n_unique()
    pairs = frame.select("user_id", "item_id")
    assert found["duplicates"]["rows_of_a_pair_met_before"] == len(pairs) - pairs.n_unique()
    again = test.join(train, on=["user_id", "item_id"], how="semi")
    assert found["duplicates"]["test_rows_of_a_pair_in_train"] == len(again) > 0
    assert any(line.startswith(f"leak: {len(again)} of {len(test)} test rows") for line in found["warnings"])
    for histogram in ("rows_per_user", "rows_by_time"):
        assert sum(map(sum, found["histograms"][histogram]["series"].values())) in (tiny.N_USERS, len(frame))


def test_new_cold_and_warm() -> None:
    users = [*"aaabbbc", *"abca"]
    items = [f"i{item}" for item in "00001110102"]
    split = ["train"] * 7 + ["valid"] + ["test"] * 3
    found = examine(frames(user_id=users, item_id=items, timestamp=[*range(11)], label=[1] * 11, split=split))
    test = found["measured"]["test"]  # b and i1 are warm, c is cold, nobody met i2
    assert [test[f"share_{name}"] for name in ("warm", "cold", "new_items")] == [0.3333] * 3
    assert test["users_behind"] == {"AUC": 3, "UAUC": 0, "NDCG of own rows": 0, "NDCG of lists": 2}


def test_what_has_no_split_is_seen_as_it_would_be_split() -> None:
    dataset = tiny.make_dataset()
    measured = examine(dataset)["measured"]
    assert measured["split"] == "global time (proposed)"  # 30 people are too few for lists
    assert measured["test"]["rows"] == len(global_time_split(dataset).rows("test"))


def test_what_cannot_be_split_is_said() -> None:
    found = examine(frames(user_id=["a", "b"], item_id=["i0", "i1"], timestamp=[1, 2], label=[1, 0]))
    assert found["measured"] == {}
    assert found["warnings"][0].startswith("split: the valid part is empty")


def test_a_given_split_that_knows_the_future_is_said() -> None:
    given = {"user_id": ["a", "b", "a", "b"], "item_id": ["i0", "i1", "i2", "i3"], "timestamp": [1, 2, 3, 9]}
    warnings = examine(frames(**given, label=[1, 0, 1, 1], split=["train", "valid", "test", "train"]))["warnings"]
    assert any(line.startswith("leak: 1 of 2 train rows are later than the first test row") for line in warnings)
    by_user = examine(user_time_split(tiny.make_dataset()))["warnings"]
    assert not any("later than the first test row" in line for line in by_user)


def test_which_task_fits() -> None:
    rng = np.random.default_rng(0)
    many = [(f"u{user}", f"i{item}") for user in range(60) for item in rng.permutation(30)[:8]]
    users, items = map(list, zip(*many, strict=True))
    clicks = which_task(frames(user_id=users, item_id=items, timestamp=[*range(len(many))], label=[1] * len(many)))
    assert (clicks.task, clicks.by) == ("ranking", "user")
    assert clicks.ranking.startswith("fits: 60 people")
    assert clicks.rating.startswith("does not fit: 100% of the rows are likes")
    untimed = which_task(frames(user_id=users, item_id=items, label=[1] * len(many)))
    assert (untimed.task, untimed.by) == ("ranking", "global")
    users, items = map(list, zip(*((f"u{like % 60}", f"i{like // 20}") for like in range(1200)), strict=True))
    news = which_task(frames(user_id=users, item_id=items, timestamp=[*range(1200)], label=[1] * 1200))
    assert (news.task, news.by, news.arriving) == ("ranking", "global", True)
    assert news.ranking.endswith("; 100% of the latest likes are of items that nobody had liked before")
    assert not clicks.arriving
    assert not untimed.arriving
    few = which_task(tiny.make_dataset())
    assert (few.task, few.by) == ("rating", "global")


def test_odd_texts() -> None:
    titles = ["Fish &amp; Chips", "CafÃ© de Flore", "SHOUTING LOUD", "REM", "Война и мир", "1984", "war", "War "]
    items = pl.DataFrame({"item_id": [*"abcdefgh"], "title": titles, "genre": ["x"] * 7 + [None]})
    assert text_faults(items) == {
        "title": {"entities": 1, "mojibake": 1, "all_caps": 1},
        "genre": {"empty": 1},
    }
    assert scripts(items["title"]) == {"Latin": 0.75, "none": 0.125, "Cyrillic": 0.125}
    assert same_titles(items) == {"items": 2, "most": {"war": 2}}
