"""The order `next` and similar items, over people of two tastes: those of the even items and those of the odd."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.settings import EASEConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.following import Following
from ccf_llm.recommend.recommender import Filters, Recommender

NEW = pl.DataFrame({"item_id": ["new1", "new2"], "title": ["red red (1971)", "a ship iron (1990)"], "genres": None})


@pytest.fixture(scope="module")
def model(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> CCFLLM:
    info = ModelInfo(details=("genres",))
    return CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, info)


@pytest.fixture(scope="module")
def recommender(model: CCFLLM, tiny_data: Dataset) -> Recommender:
    return Recommender(model, tiny.early(tiny_data))


def parities(items: pl.Series) -> list[int]:
    return [int(item[1:]) % 2 for item in items]


@pytest.mark.parametrize("taste", [0, 1])
def test_strangers_get_their_own_taste(recommender: Recommender, taste: int) -> None:
    likes = [f"i{2 * i + taste}" for i in range(2, 6)]
    found = recommender.recommend_for_history(likes, 6, order="next")
    assert parities(found["item_id"]) == [taste] * 6
    assert not set(found["item_id"]) & set(likes)
    assert found["score"].is_sorted(descending=True)
    assert found["probability"].null_count() == 6
    assert found["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    by_cf = recommender.recommend_for_history(likes, 24, order="cf")
    ranks = dict(by_cf.select("item_id", "cf_rank").iter_rows())
    assert found["cf_rank"].to_list() == [ranks[item] for item in found["item_id"]]


def test_users_get_what_strangers_of_their_history_get(recommender: Recommender) -> None:
    found = recommender.recommend(["u1", "u2"], 24, order="next")
    for user in ("u1", "u2"):
        person = recommender.person(user)
        mine = found.filter(pl.col("user_id") == user).drop("user_id")
        ids = [recommender.catalogue.ids[code - 1] for code in person.history]
        seen = [recommender.catalogue.ids[code - 1] for code in person.seen]
        same = recommender.recommend_for_history(ids, 24, order="next", deny=seen)
        assert mine["item_id"].to_list() == same["item_id"].to_list()
        assert mine["score"].to_list() == same["score"].to_list()


def test_scores_are_those_of_ease_on_all_likes(recommender: Recommender) -> None:
    frame = recommender.dataset.interactions.unique(["user_id", "item_id"], keep="last", maintain_order=True)
    liked = frame.filter(pl.col("label") == 1)
    x = np.zeros((tiny.N_USERS, tiny.N_ITEMS))
    for user, item in liked.select("user_id", "item_id").iter_rows():
        x[int(user[1:]) - 1, int(item[1:]) - 1] = 1
    p = np.linalg.inv(x.T @ x + EASEConfig().l2 * np.eye(tiny.N_ITEMS))
    weights = -p / np.diag(p)
    np.fill_diagonal(weights, 0)
    found = recommender.recommend_for_history(["i2", "i5"], 24, order="next")
    expected = (weights[1] + weights[4])[[int(item[1:]) - 1 for item in found["item_id"]]]
    assert (x.sum(0) > 0).all()
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)


def test_a_new_like_counts_at_once(recommender: Recommender) -> None:
    before = recommender.recommend_for_history(["i2"], 8, order="next")["item_id"]
    after = recommender.recommend_for_history(["i2", "i5", "i7", "i9"], 8, order="next")["item_id"]
    assert sum(parities(before)) < 4 < sum(parities(after))


def test_who_likes_nothing_yet_gets_what_most_like(recommender: Recommender) -> None:
    found = recommender.recommend_for_history([], 24, order="next")
    popularity = recommender.following.retriever.popularity
    codes = recommender.codes(found["item_id"], "items")
    assert found["score"].to_list() == popularity[codes - 1].tolist() == sorted(popularity.tolist(), reverse=True)


def test_filters_and_diversity(recommender: Recommender) -> None:
    likes = ["i2", "i4", "i6"]
    plain = recommender.recommend_for_history(likes, 6, order="next")["item_id"].to_list()
    assert recommender.recommend_for_history(likes, 6, order="next", deny=plain[:2])["item_id"][0] == plain[2]
    dramas = recommender.recommend_for_history(likes, 24, order="next", category="drama")["item_id"]
    assert set(dramas) == {f"i{i}" for i in range(1, 25, 2)}
    some = recommender.recommend_for_history(likes, order="next", candidates=[plain[3], plain[1], "i1"])["item_id"]
    assert some.to_list() == [plain[1], plain[3], "i1"]
    assert len(recommender.recommend(["u1"], 24, order="next", filter_seen=False)) == tiny.N_ITEMS
    wide = recommender.recommend_for_history(likes, 6, order="next", diversity=0.9)["item_id"].to_list()
    assert wide[0] == plain[0]
    assert wide != plain
    nothing = Filters(allow=["i2"])
    assert len(recommender.recommend_for_history(likes, order="next", candidates=["i2"])) == 0
    why = recommender.why_empty(recommender.stranger(likes), nothing)
    assert why == "none of the 1 candidates is left: 1 seen already"


def test_items_that_nobody_knows_come_last_by_their_words(model: CCFLLM, tiny_data: Dataset) -> None:
    grown = Recommender(model.with_items(NEW), tiny.early(tiny_data))
    likes = ["i2", "i4", "i6"]
    found = grown.recommend_for_history(likes, 30, order="next")
    assert found["score"].is_sorted(descending=True)
    assert set(found["item_id"][-2:]) == {"new1", "new2"}
    by_text = grown.recommend_for_history(likes, order="text", candidates=["new1", "new2"])["item_id"]
    assert found["item_id"][-2:].to_list() == by_text.to_list()
    least = found["score"][-3] - found["score"][-2]
    assert 0 < least < found["score"][0] - found["score"][-3]
    only = grown.recommend_for_history(likes, order="next", candidates=["new2"])
    assert only["item_id"].to_list() == ["new2"]
    assert np.isfinite(only["score"][0])


def test_codes_go_by_ids(model: CCFLLM, recommender: Recommender, tiny_data: Dataset) -> None:
    """A data set of fewer items has codes of its own."""
    frame = tiny.early(tiny_data).interactions
    gone = ["i1", "i5"]
    fewer = Dataset.from_frames(
        frame.filter(~pl.col("item_id").is_in(gone)), tiny_data.items.filter(~pl.col("item_id").is_in(gone))
    )
    found = Recommender(model, fewer).recommend_for_history(["i7", "i9", "i11"], 24, order="next")["item_id"]
    assert parities(found[:5]) == [1] * 5
    assert set(found[-2:]) == set(gone)


def test_where_the_matrix_does_not_fit_neighbours_decide(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = recommender.model.item_vocabulary
    assert isinstance(recommender.following.retriever, EASE)
    monkeypatch.setattr("ccf_llm.cf.ease.free_memory", lambda: 100)
    small = Following(recommender.dataset, items)
    assert isinstance(small.retriever, ItemKNN)
    assert small.retriever is small.neighbours
    scores = small.scores(np.array([2, 4, 6]), np.zeros(tiny.N_ITEMS, dtype=np.float32))
    best = np.argsort(-scores, kind="stable")[:6]
    assert [(code + 1) % 2 for code in best] == [0] * 6


def test_nobody_likes_anything(model: CCFLLM, tiny_data: Dataset) -> None:
    bare = replace(tiny_data, interactions=tiny_data.interactions.with_columns(label=pl.lit(0, pl.Int8)))
    recommender = Recommender(model, bare)
    with pytest.raises(CCFError, match="likes: nobody likes anything") as fault:
        recommender.recommend(["u1"], order="next")
    assert "\n" not in str(fault.value)
    near = recommender.similar("i3", 24)
    closeness = recommender.catalogue.similar(3)
    assert near["similarity"].to_list() == sorted(np.delete(closeness, 2).tolist(), reverse=True)


def test_similar_is_what_the_same_people_like(recommender: Recommender) -> None:
    near = recommender.similar("i5", 24)
    assert near.columns == ["item_id", "title", "rank", "similarity"]
    assert near["similarity"].is_sorted(descending=True)
    assert "i5" not in near["item_id"]
    assert len(near) == tiny.N_ITEMS - 1
    assert parities(near["item_id"][:6]) == [1] * 6
    expected = recommender.following.neighbours.similar(5)
    codes = recommender.codes(near["item_id"], "items")
    assert near["similarity"].to_list() == expected[codes - 1].tolist()


def test_words_speak_only_for_items_that_nobody_likes(model: CCFLLM, tiny_data: Dataset) -> None:
    grown = Recommender(model.with_items(NEW), tiny.early(tiny_data))
    near = dict(grown.similar("i5", 30).select("item_id", "similarity").iter_rows())
    plain = grown.catalogue.similar(5)
    for item in ("new1", "new2"):
        code = int(grown.codes(item, "items")[0])
        assert near[item] == plain[code - 1]
        of_new = grown.similar(item, 30)["similarity"].to_list()
        assert of_new == sorted(np.delete(grown.catalogue.similar(code), code - 1).tolist(), reverse=True)


@pytest.mark.llm
@pytest.mark.parametrize(
    ("title", "beside", "of", "at_least"),
    [
        ("Star Wars", {"Return of the Jedi", "Empire Strikes Back, The"}, 3, 2),
        ("Lion King, The", {"Aladdin", "Beauty and the Beast", "Toy Story"}, 5, 2),
    ],
)
def test_films_stand_beside_those_of_the_same_people(title: str, beside: set[str], of: int, at_least: int) -> None:
    films = open_dataset("ml-100k")
    titles = films.items["title"].to_list()
    closeness = Following(films, films.item_vocabulary).similar(
        titles.index(title) + 1, np.zeros(len(titles), dtype=np.float32)
    )
    nearest = {titles[position] for position in np.argsort(-closeness, kind="stable")[:of]}
    assert len(nearest & beside) >= at_least


def test_what_people_choose_next_decides_where_nobody_says(recommender: Recommender) -> None:
    by_default = recommender.recommend(["u1", "u2"], 6)
    assert by_default.equals(recommender.recommend(["u1", "u2"], 6, order="next"))
    model = recommender.model
    ranking = CCFLLM(model.network, model.users, model.items, model.info.model_copy(update={"task": "ranking"}))
    of_ranking = Recommender(ranking, recommender.dataset, retrieve=12)
    found = of_ranking.recommend(["u1", "u2"], 6)
    assert found.equals(of_ranking.recommend(["u1", "u2"], 6, order="fused"))
    assert found["probability"].null_count() == len(found)  # its scores only order
    assert of_ranking.text_share == 0
    assert of_ranking.rerank(["i2"], ["i5", "i7"])["probability"].null_count() == 2
