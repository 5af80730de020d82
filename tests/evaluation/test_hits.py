import json
from math import log2
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from ccf_llm.evaluation.hits import ACCURACY, average_precision, in_order, ndcg, places, precision
from ccf_llm.evaluation.lists import read_lists

RECORDED = Path(__file__).parent / "recorded"
DEPTH = 6

# Each list: what is right in it, cut at DEPTH, and how many targets stand in no list.
some_lists = st.lists(st.tuples(st.lists(st.booleans(), max_size=DEPTH), st.integers(0, 8)), min_size=1, max_size=8)


def plain(name: str, hits: list[bool], targets: int, k: int) -> float:
    """A figure of one list, place by place."""
    ranks = [rank for rank, hit in enumerate(hits[:k], start=1) if hit]
    possible = min(targets, k)
    return {
        "ndcg": lambda: sum(1 / log2(r + 1) for r in ranks) / sum(1 / log2(r + 1) for r in range(1, possible + 1)),
        "recall": lambda: len(ranks) / targets,
        "precision": lambda: len(ranks) / k,
        "hit_rate": lambda: 1.0 if ranks else 0.0,
        "mrr": lambda: 1 / ranks[0] if ranks else 0.0,
        "map": lambda: sum((number + 1) / rank for number, rank in enumerate(ranks)) / possible,
    }[name]()


@settings(deadline=None)
@given(some_lists, st.integers(1, DEPTH))
def test_every_figure_equals_a_plain_loop(lists: list[tuple[list[bool], int]], k: int) -> None:
    relevant = np.array([hits + [False] * (DEPTH - len(hits)) for hits, _ in lists])
    targets = np.array([sum(hits) + more for hits, more in lists])
    for name, figure in ACCURACY.items():
        expected = [
            plain(name, hits, sum(hits) + more, k)
            if sum(hits) + more
            else np.nan  # nobody can be right without targets
            for hits, more in lists
        ]
        np.testing.assert_allclose(figure(relevant, targets, k), expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(1, 20))
def test_ndcg_equals_scikit_learn_where_the_list_is_the_whole_catalogue(hits: list[bool], k: int) -> None:
    if any(hits):
        relevant = np.zeros((1, 30), dtype=bool)
        relevant[0, : len(hits)] = hits
        expected = ndcg_score([hits], [-np.arange(len(hits))], k=k)
        assert ndcg(relevant, np.array([sum(hits)]), k)[0] == pytest.approx(expected, abs=1e-9)


def test_by_hand() -> None:
    relevant, targets = np.array([[False, True, False, True]]), np.array([3])
    assert ndcg(relevant, targets, 4)[0] == pytest.approx((1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 0.5))
    assert average_precision(relevant, targets, 4)[0] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert average_precision(relevant, targets, 2)[0] == pytest.approx((1 / 2) / 2)  # two places: two could be right
    assert precision(relevant[:, :2], targets, 2)[0] == 0.5


@pytest.mark.parametrize("method", ["good", "weak"])
def test_equals_trec_eval_on_the_same_lists(method: str) -> None:
    """`benchmarks/ranking_oracle.py` recorded the figures; lists shorter than 20 and users without target are there."""
    theirs = json.loads((RECORDED / "trec_eval.json").read_text())["methods"][method]
    lists = read_lists(RECORDED / "lists.parquet").filter(pl.col("method") == method)
    first = lists.filter(pl.col("rank") <= 1)
    users, targets = first["user_id"].to_list(), first["targets"].to_numpy()
    relevant = places(lists, lists["relevant"].to_numpy(), 20)
    for figure, recorded in theirs.items():
        name, k = figure.split("@")
        ours = ACCURACY[name](relevant, targets, int(k))
        if name == "map":  # trec_eval divides by all targets, also by those beyond k
            ours = ours * np.minimum(targets, int(k)) / np.maximum(targets, 1)
        known = {user: value for user, value in zip(users, ours, strict=True) if not np.isnan(value)}
        assert known.keys() == recorded.keys()
        assert len(known) == (targets > 0).sum() > 30
        for user, value in known.items():
            assert value == pytest.approx(recorded[user], abs=1e-9), (figure, user)


def test_places_cut_long_lists_and_keep_empty_ones() -> None:
    lists = pl.DataFrame({"rank": [1, 2, 3, 0, 1], "relevant": [True, False, True, False, True]})
    found = places(lists, lists["relevant"].to_numpy(), 2)
    np.testing.assert_array_equal(found, [[True, False], [False, False], [True, False]])


def test_scores_put_a_list_in_order_and_places_without_an_item_last() -> None:
    def gain(relevant: np.ndarray, k: int = 10) -> float:
        return float(ndcg(in_order(scores, relevant, k), relevant.sum(1), k).mean())

    scores = np.array([[3.0, 2.0, 1.0, np.nan], [1.0, 2.0, 3.0, 4.0]])
    relevant = np.array([[True, False, False, False], [True, False, False, False]])
    assert gain(relevant) == pytest.approx((1 + 1 / np.log2(5)) / 2)
    assert gain(relevant, k=2) == pytest.approx(0.5)
    both = np.array([[True, True, False, False], [False, True, False, True]])
    assert gain(both) == pytest.approx((1 + (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))) / 2)
