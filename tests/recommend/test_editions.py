"""Of the editions of a work only the best."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.editions import best_works, first_of_each
from ccf_llm.recommend.recommender import Order, Recommender
from ccf_llm.recommend.retrieval import ExactRanking

WORKS = 8
"""Item i is an edition of work i % 8."""
EDITIONS = ("Work {n}", "Work {n} (Illustrated)", "Work {n}: A Memoir")


@pytest.fixture(scope="module")
def recommender(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> Recommender:
    """24 books, three editions of each work."""
    titles = [EDITIONS[(i - 1) // WORKS].format(n=i % WORKS) for i in range(1, tiny.N_ITEMS + 1)]
    items = tiny_data.items.with_columns(title=pl.Series(titles), Author=pl.lit("Ann Author"))
    early = tiny.early(tiny_data)
    model = CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, items, ModelInfo(details=("genres",)))
    return Recommender(model, replace(early, items=items), retrieve=6)


def works(items: pl.Series) -> list[int]:
    return [int(item[1:]) % WORKS for item in items]


@pytest.mark.parametrize("order", get_args(Order))
def test_each_work_stands_once_in_a_list_and_the_list_is_full(recommender: Recommender, order: Order) -> None:
    for k in (3, WORKS - 1):
        found = recommender.recommend_for_history(["i1"], k, order=order, one_edition=True)
        assert len(found) == k
        assert len(set(works(found["item_id"]))) == k
        assert found["rank"].to_list() == list(range(1, k + 1))
        assert found["score"].is_sorted(descending=True)
    everything = recommender.recommend_for_history(["i1"], 24, order=order, one_edition=True)
    assert sorted(works(everything["item_id"])) == list(range(WORKS))  # the liked one's other editions among them
    assert len(recommender.recommend_for_history(["i1"], 24, order=order)) == tiny.N_ITEMS - 1  # off by default


@pytest.mark.parametrize("order", ["cf", "text", "next"])
def test_the_edition_is_the_best_one_of_the_order(recommender: Recommender, order: Order) -> None:
    plain = recommender.recommend(["u1"], 24, order=order)
    best = plain.with_columns(work=pl.Series(works(plain["item_id"]))).unique("work", keep="first", maintain_order=True)
    found = recommender.recommend(["u1"], 24, order=order, one_edition=True)
    assert found["item_id"].to_list() == best["item_id"].to_list()
    diverse = recommender.recommend(["u1"], 5, order=order, one_edition=True, diversity=0.8)
    assert len(set(works(diverse["item_id"]))) == 5


def test_of_editions_that_were_named_the_model_chooses(recommender: Recommender) -> None:
    candidates = ["i1", "i9", "i17", "i2"]
    plain = recommender.recommend_for_history(["i3"], candidates=candidates)
    found = recommender.recommend_for_history(["i3"], candidates=candidates, one_edition=True)
    best = next(item for item in plain["item_id"] if item != "i2")
    assert set(found["item_id"]) == {best, "i2"}


def test_no_author_no_subtitle_dropped(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> None:
    titles = [
        "Star Trek: Generations",
        "Star Trek: First Contact (1996)",
        "star trek - first contact",
        "[REC]",
        "[REC] 2",
    ]
    items = tiny_data.items.with_columns(title=pl.Series(titles + [f"t{i}" for i in range(tiny.N_ITEMS - 5)]))
    network = make_network()

    def found(items: pl.DataFrame) -> list[int]:
        model = CCFLLM(network, tiny_data.user_vocabulary, items, ModelInfo(details=("genres",)))
        return [int(work) for work in Recommender(model, tiny_data).catalogue.works[:5]]

    assert found(items) == [0, 1, 2, 3, 4]
    assert found(items.with_columns(author=pl.lit(""))) == [0, 1, 2, 3, 4]
    assert found(items.with_columns(authors=pl.lit("Roddenberry"))) == [0, 0, 0, 1, 2]
    two = items.with_columns(author=pl.Series(["A", "Á", "a", "B", "B", *["C"] * (tiny.N_ITEMS - 5)]))
    assert found(two) == [0, 0, 0, 1, 2]
    others = items.with_columns(author=pl.Series(["A", "B", "B", "B", "B", *["C"] * (tiny.N_ITEMS - 5)]))
    assert found(others) == [0, 1, 1, 2, 3]


def test_more_is_asked_for_until_there_are_enough_works() -> None:
    same = np.zeros(100, dtype=np.int64)
    same[60:] = np.arange(1, 41)
    ranking = ExactRanking(-np.arange(100, dtype=np.float32), np.ones(100, dtype=bool))
    assert best_works(ranking, 3, same).tolist() == [0, 60, 61]
    assert len(best_works(ranking, 80, same)) == 41
    assert best_works(ranking, 5, np.arange(100)).tolist() == [0, 1, 2, 3, 4]
    assert first_of_each(np.array([], dtype=np.int64)).tolist() == []


def test_anything_but_yes_and_no_is_refused(recommender: Recommender) -> None:
    with pytest.raises(CCFError, match="one_edition is 'no'; give True or False"):
        recommender.recommend(["u1"], one_edition="no")  # type: ignore[arg-type]
