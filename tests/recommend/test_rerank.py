"""Somebody else's candidates in the model's order."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.recommender import Recommender

pytestmark = pytest.mark.usefixtures("by_the_model")

CANDIDATES = ["i9", "i2", "i14", "i5", "i2", "i20"]


@pytest.fixture(scope="module")
def recommender(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> Recommender:
    model = CCFLLM(
        tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, ModelInfo(details=("genres",))
    )
    return Recommender(model, tiny.early(tiny_data), retrieve=12)


def test_the_order_is_that_of_the_scores_which_are_the_model_s(recommender: Recommender) -> None:
    found = recommender.rerank(None, CANDIDATES, user="u4")
    assert found.columns == ["item_id", "title", "rank", "score", "probability"]
    assert sorted(found["item_id"]) == sorted(set(CANDIDATES))
    assert found["rank"].to_list() == [1, 2, 3, 4, 5]
    assert found["score"].is_sorted(descending=True)
    pairs = recommender.model.score(found.select(user_id=pl.lit("u4"), item_id="item_id"), recommender.dataset)
    np.testing.assert_allclose(found["score"], pairs["score"], atol=1e-5)
    np.testing.assert_allclose(found["probability"], pairs["probability"], atol=1e-5)
    titles = dict(recommender.dataset.items.select("item_id", "title").iter_rows())
    assert found["title"].to_list() == [titles[item] for item in found["item_id"]]


def test_who_is_known_by_likes_by_a_vector_or_by_both(recommender: Recommender) -> None:
    likes = ["i1", "i3"]
    stranger = recommender.rerank(likes, CANDIDATES)
    expected = recommender.recommend_for_history(likes, 10, candidates=CANDIDATES)
    assert stranger["item_id"].to_list() == expected["item_id"].to_list()
    np.testing.assert_allclose(stranger["score"], expected["score"], atol=1e-5)
    with_vector = recommender.rerank(likes, CANDIDATES, user="u4")
    assert with_vector["score"].to_list() != stranger["score"].to_list()
    assert with_vector["score"].to_list() != recommender.rerank(None, CANDIDATES, user="u4")["score"].to_list()
    assert len(recommender.rerank([], CANDIDATES)) == 5


def test_what_is_liked_or_seen_is_ranked_too_and_k_cuts(recommender: Recommender) -> None:
    everything = recommender.rerank(["i9"], CANDIDATES)
    assert "i9" in everything["item_id"]
    assert recommender.rerank(["i9"], CANDIDATES, 2).equals(everything.head(2))
    assert len(recommender.rerank(["i9"], CANDIDATES, 100)) == 5
    assert recommender.rerank(["i9"], []).schema == everything.schema


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.rerank(["i1"], ["i2", "x"]), "candidates: no item 'x' in the model's catalogue"),
        (lambda r: r.rerank(["x"], ["i2"]), "history: no item 'x'"),
        (lambda r: r.rerank(None, ["i2"]), "history is missing; give the ids of liked items, or user=ID"),
        (lambda r: r.rerank(None, ["i2"], user="nobody"), "user 'nobody': not in data set"),
        (lambda r: r.rerank(["i1"], ["i2"], user="nobody"), "user 'nobody': not in data set"),
        (lambda r: r.rerank(["i1"], ["i2"], 0), "k is 0; ask for at least 1"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(
    recommender: Recommender, ask: Callable[[Recommender], object], message: str
) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        ask(recommender)
    assert "\n" not in str(fault.value)
