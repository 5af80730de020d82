import builtins
from collections.abc import Callable

import numpy as np
import pytest

import tiny
from ccf_llm.cf.din import DIN
from ccf_llm.cf.kinds import MODELS
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.recommend.catalogue import Catalogue
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.recommend.retrieval import ExactRanking, IndexRanking, Retriever, VectorIndex

EVERY = np.ones(tiny.N_ITEMS, dtype=bool)
LIKES = np.array([2, 4, 6])


@pytest.fixture(scope="module")
def model(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> CCFLLM:
    return CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items)


def exact_best(vectors: np.ndarray, query: np.ndarray, n: int, eligible: np.ndarray) -> list[int]:
    scores = np.where(eligible, vectors @ query, -np.inf)
    return np.argsort(-scores, kind="stable")[: min(n, eligible.sum())].tolist()


def clustered(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 17) vectors with a bias and (50, 17) queries, around 40 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, 16))
    vectors = np.c_[centres[rng.integers(0, 40, n)] + 0.4 * rng.normal(size=(n, 16)), rng.normal(size=n)]
    queries = np.c_[centres[rng.integers(0, 40, 50)] + 0.4 * rng.normal(size=(50, 16)), np.ones(50)]
    return vectors.astype(np.float32), queries.astype(np.float32)


def test_a_ranking_is_an_order_with_ranks_and_scores() -> None:
    ranking = ExactRanking(np.array([0.1, 0.9, 0.5, 0.9], dtype=np.float32), np.array([True, True, True, False]))
    assert ranking.best(2).tolist() == [1, 2]
    assert ranking.best(9).tolist() == [1, 2, 0]
    assert ranking.ranks(np.array([0, 3, 1])) == [3, None, 1]
    np.testing.assert_allclose(ranking.scores(np.array([3, 0])), [0.9, 0.1])


def test_an_index_finds_nearly_all_of_the_best() -> None:
    vectors, queries = clustered(20_000)
    index, every = VectorIndex(vectors), np.ones(20_000, dtype=bool)
    found = [
        set(index.search(query, 100, every).tolist()) & set(exact_best(vectors, query, 100, every)) for query in queries
    ]
    assert np.mean([len(both) for both in found]) > 97


@pytest.mark.parametrize("share", [0.5, 0.01, 0.001])
def test_filters_are_respected_and_leave_no_gap(share: float) -> None:
    vectors, queries = clustered(5_000)
    index, eligible = VectorIndex(vectors), np.random.default_rng(1).random(5_000) < share
    for query in queries[:10]:
        found = index.search(query, 60, eligible)
        assert len(found) == len(set(found.tolist())) == min(60, eligible.sum())
        assert eligible[found].all()
        if share < 0.5:  # every list had to be read
            assert found.tolist() == exact_best(vectors, query, 60, eligible)
    assert len(index.search(queries[0], 60, np.zeros(5_000, dtype=bool))) == 0
    assert len(index.search(queries[0], 0, eligible)) == 0


def test_by_an_index_scores_are_exact_and_ranks_known_as_far_as_it_looks(model: CCFLLM) -> None:
    cf = model.network.cf
    index = VectorIndex(cf.item_matrix())
    eligible = EVERY.copy()
    eligible[3:7] = False
    query, rest = cf.query(1, LIKES)
    ranking = IndexRanking(index, query, eligible, 5, rest)
    exact = ExactRanking(cf.score_catalogue(1, LIKES), eligible)
    np.testing.assert_allclose(ranking.scores(np.arange(tiny.N_ITEMS)), cf.score_catalogue(1, LIKES), atol=1e-5)
    best = ranking.best(5)
    assert ranking.ranks(best) == [1, 2, 3, 4, 5]
    others = np.setdiff1d(np.arange(tiny.N_ITEMS), best)
    assert set(ranking.ranks(others)) == {None}
    assert ranking.best(100).tolist() == exact.best(100).tolist()  # more than are eligible: all lists are read


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_query_gives_the_score_of_every_kind_that_is_a_product(kind: str, tiny_data: Dataset) -> None:
    sizes = {"n_users": len(tiny_data.user_vocabulary), "n_items": len(tiny_data.item_vocabulary)}
    model_type = MODELS[kind]
    config = model_type.config_type.model_validate({"dim": 8, "max_epochs": 2})
    cf = model_type.fit(tiny_data.rows("train"), tiny_data.rows("valid"), **sizes, config=config)
    assert cf.scores_by_product == (model_type is not DIN)
    query, rest = cf.query(3, LIKES)
    same = np.allclose(cf.item_matrix() @ query + rest, cf.score_catalogue(3, LIKES), atol=1e-5)
    assert same == cf.scores_by_product


def test_recommendations_through_an_index_are_the_exact_ones(model: CCFLLM, tiny_data: Dataset) -> None:
    early = Dataset.from_frames(
        tiny_data.interactions.sort("timestamp").drop("split").head(250), tiny_data.items, name="early"
    )
    exact = Recommender(model, early, retrieve=8)
    through_index = Recommender(model, early, retrieve=8, exact_up_to=10)
    for order in ("fused", "cf", "text", "next"):
        expected, found = (r.recommend(["u1", "u2"], 24, order=order) for r in (exact, through_index))  # type: ignore[arg-type]
        assert found["item_id"].to_list() == expected["item_id"].to_list()
        np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)
        assert found["cf_rank"].to_list() == expected["cf_rank"].to_list()


def test_a_model_that_is_no_product_is_searched_exactly(model: CCFLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    retriever = Retriever(Catalogue(model), model.network.cf, exact_up_to=10)
    assert isinstance(retriever.by_cf(1, LIKES, EVERY), IndexRanking)
    monkeypatch.setattr(type(model.network.cf), "scores_by_product", False)
    assert isinstance(retriever.by_cf(1, LIKES, EVERY), ExactRanking)


def test_without_faiss_the_remedy_is_said(model: CCFLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "faiss":
            raise ImportError(name)
        return plain(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    Retriever(Catalogue(model), model.network.cf)
    with pytest.raises(CCFError, match=r"retrieval: 24 items are searched with FAISS; pip install 'ccf-llm\[faiss\]'"):
        Retriever(Catalogue(model), model.network.cf, exact_up_to=10)
