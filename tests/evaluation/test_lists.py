from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.sparse import csr_array

from ccf_llm.errors import CCFError
from ccf_llm.evaluation.lists import check_lists, read_lists, top_lists, write_lists
from ccf_llm.io.parquet import write_parquet

GOOD: dict[str, list[Any]] = {
    "method": ["pop", "pop", "knn", "knn", "pop"],
    "user_id": ["u", "u", "u", "u", "v"],
    "item_id": ["a", "b", "b", "c", None],
    "rank": [1, 2, 1, 2, 0],
    "score": [2.0, 1.0, 0.5, 0.5, None],
    "relevant": [False, True, True, False, False],
    "targets": [1, 1, 1, 1, 0],
}


def good(**changed: Any) -> pl.DataFrame:
    return pl.DataFrame(GOOD | changed)


def test_survives_a_file_in_the_order_of_methods_users_and_ranks(tmp_path: Path) -> None:
    write_lists(good()[[3, 2, 1, 4, 0]], tmp_path / "lists.parquet")
    expected = good()[[2, 3, 0, 1, 4]].select(
        "method", pl.lit(0, dtype=pl.Int64).alias("seed"), pl.all().exclude("method")
    )
    assert_frame_equal(read_lists(tmp_path / "lists.parquet"), expected)


def test_ids_may_be_whole_numbers_and_types_may_be_narrow() -> None:
    lists = check_lists(good(item_id=[1, 2, 2, 3, None]).with_columns(pl.col("rank", "targets").cast(pl.UInt8)))
    assert lists["item_id"].to_list() == ["1", "2", None, "2", "3"]
    assert lists.schema["rank"] == pl.Int64


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rank": [1, 3, 1, 2, 0]}, "method pop, user u: rank 3 where 2 is due"),
        ({"rank": [1, 1, 1, 2, 0]}, "method pop, user u: rank 1 where 2 is due"),
        ({"rank": [1, 2, 0, 1, 0]}, "method knn, user u: rank 0 where 1 is due"),
        ({"item_id": ["a", "a", "b", "c", None]}, "method pop, user u: item a stands twice in the list"),
        ({"score": [1.0, 2.0, 0.5, 0.5, None]}, "method pop, user u: the score rises at rank 2"),
        ({"score": [2.0, float("nan"), 0.5, 0.5, None]}, "method pop, user u: the score of rank 2 is nan"),
        ({"score": [2.0, None, 0.5, 0.5, None]}, "method pop, user u: the score of rank 2 is None"),
        ({"targets": [0, 0, 0, 0, 0]}, "method pop, user u: 1 relevant items but 0 targets"),
        ({"targets": [1, 1, 2, 2, 0]}, "method pop, user u: targets differ between the user's rows"),
        ({"targets": [1, 1, 1, 1, -1]}, "method pop, user v: -1 targets; a number from 0 on"),
        ({"relevant": [False, True, False, False, False]}, "user u: item b is relevant in one list and not in another"),
        ({"relevant": [False, True, True, False, True]}, "method pop, user v: a row without item must be"),
        ({"rank": [1, 2, 1, 2, 1]}, "method pop, user v: a row without item must be the list's only one, of rank 0"),
        ({"relevant": [0, 1, 1, 0, 0]}, "column `relevant` has the type Int64; Boolean is needed"),
        ({"rank": ["1", "2", "1", "2", "0"]}, "column `rank` has the type String"),
        ({"method": ["pop", None, "knn", "knn", "pop"]}, "no method in row 1"),
        ({"user_id": ["u", "u", None, "u", "v"]}, "no user_id in row 2"),
        ({"user_id": [1.0, 1.0, 1.5, 1.0, 2.0]}, "lists: user_id 1.5 in row 2 is no id"),
        ({"seed": [0, 0, 0, 0, 1]}, "method pop, user u: not every seed has a list"),
    ],
)
def test_refuses_lists_that_cannot_be(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CCFError, match=message) as refused:
        check_lists(good(**changed))
    assert "\n" not in str(refused.value)


def test_a_file_names_itself_and_the_column_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    write_parquet(good().drop("rank"), path)
    with pytest.raises(CCFError, match=rf"^{path}: no column `rank`; lists have method, user_id, item_id, rank, score"):
        read_lists(path)
    write_parquet(good().clear(), path)
    with pytest.raises(CCFError, match=rf"^{path}: there is no list in it"):
        read_lists(path)
    with pytest.raises(CCFError, match="no such file"):
        read_lists(tmp_path / "other.parquet")


# Few distinct scores, so that ties are common also at the end of a list.
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_top_lists_equal_a_plain_loop(seed: int, n_users: int, n_items: int, k: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (n_users, n_items)
    scores = rng.choice([0.0, 0.5, 1.0, np.nan, -np.inf], size=shape).astype(np.float32)
    seen = rng.random(shape) < 0.3
    targets = (rng.random(shape) < 0.3) & ~seen
    users, items = [f"u{u}" for u in range(n_users)], [f"i{i}" for i in range(n_items)]
    as_given = csr_array if sparse else np.asarray
    lists = top_lists("m", users, items, scores, seen=as_given(seen), targets=as_given(targets), k=k, seed=3)
    expected = []
    for u in range(n_users):
        able = [i for i in range(n_items) if not seen[u, i] and np.isfinite(scores[u, i])]
        best = sorted(able, key=lambda i: (-scores[u, i], i))[:k]
        right = int(targets[u].sum())
        for rank, i in enumerate(best, start=1):
            expected.append(("m", 3, users[u], items[i], rank, float(scores[u, i]), bool(targets[u, i]), right))
        if not best:
            expected.append(("m", 3, users[u], None, 0, None, False, right))
    assert check_lists(lists).rows() == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": np.zeros((2, 4))}, r"scores: shape \(2, 4\) for 2 users and 3 items"),
        ({"seen": np.zeros((1, 3))}, r"seen: shape \(1, 3\)"),
        ({"scores": np.array([[0, 0, 0], [0, np.inf, 0]])}, "scores of m: infinite for user v"),
        ({"targets": np.array([[0, 0, 0], [0, 1, 0]])}, "targets: user v has seen item b"),
        ({"k": 0}, "lists of 0 out of 3 items"),
    ],
)
def test_refuses_what_it_cannot_rank(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "scores": np.zeros((2, 3)),
        "seen": np.array([[0, 0, 0], [0, 1, 0]]),
        "targets": np.zeros((2, 3)),
    }
    with pytest.raises(CCFError, match=message):
        top_lists("m", ["u", "v"], ["a", "b", "c"], **(given | changed))
