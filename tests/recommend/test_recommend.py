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
from ccf_llm.recommend.explain import explain
from ccf_llm.recommend.recommender import Recommender

pytestmark = pytest.mark.usefixtures("by_the_model")

INFO = ModelInfo(details=("genres",))
COLUMNS = ["item_id", "title", "rank", "score", "probability", "cf_rank", "text_rank", "collaborative_share"]


@pytest.fixture(scope="module")
def model(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> CCFLLM:
    return CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, INFO)


@pytest.fixture(scope="module")
def recommender(model: CCFLLM, tiny_data: Dataset) -> Recommender:
    """Over the first 250 interactions, so that nobody has seen everything."""
    early = Dataset.from_frames(
        tiny_data.interactions.sort("timestamp").drop("split").head(250), tiny_data.items, name="early"
    )
    return Recommender(model, early, retrieve=12)


def seen_by(recommender: Recommender, user: str) -> set[str]:
    frame = recommender.dataset.interactions
    return set(frame.filter(pl.col("user_id") == user)["item_id"])


def test_the_best_items_in_order(recommender: Recommender) -> None:
    found = recommender.recommend(["u1", "u2"], k=5)
    assert found.columns == ["user_id", *COLUMNS]
    assert found["user_id"].to_list() == ["u1"] * 5 + ["u2"] * 5
    for user, part in found.group_by("user_id"):
        assert part["rank"].to_list() == [1, 2, 3, 4, 5]
        assert part["score"].is_sorted(descending=True)
        assert part["item_id"].n_unique() == 5
        assert not set(part["item_id"]) & seen_by(recommender, str(user[0]))
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-found["score"].to_numpy())), rtol=1e-6)
    titles = dict(recommender.dataset.items.select("item_id", "title").iter_rows())
    assert found["title"].to_list() == [titles[item] for item in found["item_id"]]


def test_seen_items_come_back_only_where_asked_for(recommender: Recommender) -> None:
    everything = recommender.recommend(["u3"], k=100, filter_seen=False)
    assert len(everything) == tiny.N_ITEMS
    assert len(recommender.recommend(["u3"], k=100)) == tiny.N_ITEMS - len(seen_by(recommender, "u3"))


def test_scores_are_those_of_the_model(recommender: Recommender, model: CCFLLM) -> None:
    found = recommender.recommend(["u4"], k=24, filter_seen=False)
    pairs = model.score(found.select("user_id", "item_id"), recommender.dataset)
    np.testing.assert_allclose(pairs["score"], found["score"], atol=1e-5)


def test_candidates_are_respected(recommender: Recommender) -> None:
    candidates = [f"i{i}" for i in range(1, 13)]
    found = recommender.recommend(["u5"], k=50, candidates=[*candidates, "i3"])
    assert set(found["item_id"]) == set(candidates) - seen_by(recommender, "u5")
    assert found["item_id"].n_unique() == len(found)


def test_nothing_left_is_an_empty_frame(recommender: Recommender) -> None:
    seen = sorted(seen_by(recommender, "u6"))
    found = recommender.recommend(["u6", "u7"], k=3, candidates=seen)
    assert "u6" not in found["user_id"]
    assert recommender.recommend(["u6"], candidates=seen).schema == recommender.recommend(["u6"]).schema
    assert recommender.recommend([]).schema == recommender.recommend(["u6"]).schema


def test_only_retrieved_items_are_re_ranked(recommender: Recommender, model: CCFLLM) -> None:
    few = Recommender(model, recommender.dataset, retrieve=4, text_share=0)
    by_cf = few.recommend(["u8"], k=4)["item_id"]
    assert set(few.recommend(["u8"], k=2)["item_id"]) <= set(by_cf)
    assert len(few.recommend(["u8"], k=6)) == 6  # retrieves as many as are asked for


def test_filters(recommender: Recommender) -> None:
    likes = ["i2", "i4"]
    best = recommender.recommend_for_history(likes, 3)["item_id"].to_list()
    without = recommender.recommend_for_history(likes, 3, deny=best[:1])["item_id"].to_list()
    assert best[0] not in without
    dramas = recommender.recommend_for_history(likes, 24, category="drama")
    assert set(dramas["item_id"]) == {f"i{i}" for i in range(1, 25, 2)}
    seen = recommender.recommend(["u1"], 24, filter_seen=False, deny=["i1"], category="drama", order="cf")
    assert set(seen["item_id"]) == {f"i{i}" for i in range(3, 25, 2)}


def test_diversity_is_that_of_the_titles(recommender: Recommender) -> None:
    plain = recommender.recommend_for_history(["i1"], 6)
    assert recommender.recommend_for_history(["i1"], 6, diversity=0.0).equals(plain)
    wide = recommender.recommend_for_history(["i1"], 6, diversity=0.9)
    assert wide["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    assert wide["item_id"][0] == plain["item_id"][0]

    def likeness(items: pl.Series) -> float:
        vectors = recommender.catalogue.semantic[recommender.codes(items, "items") - 1]
        return float((vectors @ vectors.T)[np.triu_indices(6, 1)].mean())

    assert likeness(wide["item_id"]) < likeness(plain["item_id"])
    for order in ("cf", "text"):  # chosen from more than the best six
        ordered = recommender.recommend_for_history(["i1"], 6, order=order)  # type: ignore[arg-type]
        diverse = recommender.recommend_for_history(["i1"], 6, order=order, diversity=0.9)  # type: ignore[arg-type]
        assert set(diverse["item_id"]) != set(ordered["item_id"])


def test_users_scored_together_get_what_each_gets_alone(recommender: Recommender) -> None:
    users = ["u1", "u5", "u9"]
    together = recommender.recommend(users, 5)
    alone = pl.concat([recommender.recommend([user], 5) for user in users])
    assert together["item_id"].to_list() == alone["item_id"].to_list()
    np.testing.assert_allclose(together["score"], alone["score"], atol=1e-5)


def test_reasons_are_scores_with_and_without_each_like(recommender: Recommender, model: CCFLLM) -> None:
    likes = ["i1", "i4", "i9"]
    items = [f"i{i}" for i in range(10, 25)]
    reasons = explain(recommender, recommender.stranger(likes), items, newest=2)
    assert reasons.columns == ["item_id", "liked_item_id", "liked_title", "effect"]

    def scores(history: list[str]) -> dict[str, float]:
        return dict(recommender.rerank(history, items).select("item_id", "score").iter_rows())

    everything, effects = scores(likes), {}
    for left in ("i4", "i9"):
        without = scores([i for i in likes if i != left])
        effects |= {(item, left): everything[item] - without[item] for item in items}
    raising = {pair: effect for pair, effect in effects.items() if effect > 0}
    assert 0 < len(raising) < len(effects)
    found = {(item, like): effect for item, like, _, effect in reasons.iter_rows()}
    assert found == pytest.approx(raising, abs=1e-5)
    for _, mine in reasons.group_by("item_id"):
        assert mine["effect"].is_sorted(descending=True)
    assert explain(recommender, recommender.stranger([]), ["i7"]).schema == reasons.schema


@pytest.mark.parametrize("history", [[], ["i1"], ["i2", "i4", "i6"]])
def test_a_person_who_is_no_user(recommender: Recommender, history: list[str]) -> None:
    found = recommender.recommend_for_history(history, k=5)
    assert found.columns == COLUMNS
    assert len(found) == 5
    assert not set(found["item_id"]) & set(history)
    assert found["score"].is_finite().all()


def test_likes_decide_what_a_person_gets(recommender: Recommender) -> None:
    even = recommender.recommend_for_history(["i2", "i4", "i6", "i8"], k=10)
    odd = recommender.recommend_for_history(["i1", "i3", "i5", "i7"], k=10)
    assert even["item_id"].to_list() != odd["item_id"].to_list()


def test_items_are_found_by_words(recommender: Recommender) -> None:
    title = recommender.dataset.items["title"][4]
    assert recommender.find_items(f"  {title.upper()} ")["item_id"][0] == "i5"
    assert len(recommender.find_items("(19")) == tiny.N_ITEMS  # words, not a pattern
    assert len(recommender.find_items("no such title")) == 0


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.recommend(["nobody"]), "user 'nobody': not in data set early"),
        (lambda r: r.recommend(["u1"], candidates=["i1", "i99"]), "candidates: no item 'i99'"),
        (lambda r: r.recommend_for_history(["i99"]), "history: no item 'i99'"),
        (lambda r: r.recommend(["u1"], k=0), "k is 0; ask for at least 1"),
        (lambda r: r.recommend(["u1"], deny=["i99"]), "denied items: no item 'i99'"),
        (lambda r: r.recommend(["u1"], diversity=1.5), "diversity is 1.5; choose from 0"),
        (lambda r: r.recommend(["u1"], category="war"), "category 'war': unknown"),
        (lambda r: r.similar("i99"), "similar: no item 'i99'"),
        (lambda r: r.similar("i9", 0), "k is 0"),
        (lambda r: Recommender(r.model, r.dataset, text_share=2), "text_share is 2; choose from 0 to 1"),
        (lambda r: explain(r, r.stranger(["i1"]), ["i99"]), "items: no item 'i99'"),
        (lambda r: r.model.score(pl.DataFrame({"user_id": ["u1"]})), "no column 'item_id'"),
        (lambda r: r.model.score(pl.DataFrame({"user_id": ["u1"], "item_id": ["i99"]})), "pairs: no item 'i99'"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    recommender: Recommender, ask: Callable[[Recommender], object], message: str
) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        ask(recommender)
    assert "\n" not in str(fault.value)


def test_pairs_are_scored_in_their_order(model: CCFLLM, tiny_data: Dataset) -> None:
    pairs = tiny_data.interactions.tail(30).select("user_id", "item_id", "label")
    scored = model.score(pairs, tiny_data)
    assert scored.columns == ["user_id", "item_id", "label", "score", "probability"]
    again = model.score(pairs.reverse(), tiny_data).reverse()
    np.testing.assert_allclose(scored["score"], again["score"], atol=1e-5)
    without = model.score(pairs)
    assert not np.allclose(scored["score"], without["score"])


def test_unknown_users_are_cold_ones_and_numbers_are_ids(model: CCFLLM) -> None:
    two = model.score(pl.DataFrame({"user_id": [1, 2], "item_id": ["i1", "i1"]}))
    assert two["score"][0] == pytest.approx(two["score"][1], abs=1e-6)
