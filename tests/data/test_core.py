from typing import Any

import polars as pl
import pytest

from ccf_llm.data.core import k_core
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError

PAIRS = ["ax", "ay", "bx", "by", "cz", "cx", "dz"]
"""Of d and z one falls after the other, then c: a, b, x and y hold each other."""


@pytest.fixture
def dataset() -> Dataset:
    rows: dict[str, Any] = {"user_id": [pair[0] for pair in PAIRS], "item_id": [pair[1] for pair in PAIRS]}
    rows |= {"label": [1, 0] * 3 + [1], "timestamp": range(5, 5 + len(PAIRS)), "split": ["train"] * 6 + ["test"]}
    rows["history"] = [["z", "x"] if pair == "by" else [] for pair in PAIRS]
    return Dataset.from_frames(pl.DataFrame(rows), pl.DataFrame({"item_id": list("wxyz"), "title": list("WXYZ")}))


def test_users_and_items_with_too_few_go_until_none_has(dataset: Dataset) -> None:
    core = k_core(dataset, 2)
    assert core.interactions.select("user_id", "item_id", "history").rows() == [
        ("a", "x", []),
        ("a", "y", []),
        ("b", "x", []),
        ("b", "y", ["x"]),
    ]
    assert core.items["item_id"].to_list() == ["x", "y"]
    assert core.reading.left_out == {"interactions of users or items with fewer than 2": 3}
    assert core.reading.notes[-1] == (
        "at least 2 interactions for every user and item, after 3 rounds: 4 of 7 interactions, 2 of 4 users and "
        "2 of 4 items are left"
    )
    assert core.split is not None
    assert core.split.parts["train"].rows == 4
    assert dataset.reading.left_out == {}


def test_where_nothing_is_left_a_smaller_number_is_asked_for(dataset: Dataset) -> None:
    with pytest.raises(CCFError, match=r"nothing is left .* at least 3 .*--min-interactions"):
        k_core(dataset, 3)


def test_what_is_its_own_core_stays(dataset: Dataset) -> None:
    assert k_core(dataset, 1).interactions.equals(dataset.interactions)
    assert k_core(dataset, 1).items["item_id"].to_list() == ["x", "y", "z"]
