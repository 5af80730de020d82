"""Retrievers as CF models: the score is the retriever's, the vectors fill slots, and folds share a space."""

from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from ccf_llm.cf.cross_fit import align
from ccf_llm.cf.kinds import RANKERS, RETRIEVERS, load_cf
from ccf_llm.cf.settings import ALSConfig, RetrieverConfig, SASRecSoftmaxConfig
from ccf_llm.cf.vectors import UNIT, EASEVectors, RetrieverVectors, likes_of_rows
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix
from ccf_llm.data.rows import Rows
from ccf_llm.data.split import user_time_split

QUICK: dict[str, RetrieverConfig] = {
    "als": ALSConfig(dim=8, iterations=3),
    "sasrec_softmax": SASRecSoftmaxConfig(dim=8, epochs=1),
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return user_time_split(tiny.make_dataset())


def fitted(dataset: Dataset, kind: str) -> RetrieverVectors:
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    model = RANKERS[kind].fit(dataset.rows("train"), dataset.rows("valid"), config=QUICK.get(kind), **sizes)
    assert isinstance(model, RetrieverVectors)
    return model


@pytest.fixture(scope="module", params=["popularity", "knn", "ease", "als", "sasrec_softmax"])
def model(dataset: Dataset, request: pytest.FixtureRequest) -> RetrieverVectors:
    return fitted(dataset, request.param)


def test_it_learns_what_the_retriever_learns(dataset: Dataset, model: RetrieverVectors) -> None:
    likes, times = likes_matrix(dataset, "train"), like_times(dataset, "train")
    alone = RETRIEVERS[model.kind].fit(likes, times=times, config=model.config)
    history = dataset.rows("valid").history(0)
    shown, own = model.score_catalogue(0, history), alone.scores(history)
    np.testing.assert_allclose(shown, np.arcsinh(own / UNIT) if model.by_logarithm else own, rtol=1e-4, atol=1e-5)
    assert (np.diff(shown[np.argsort(own, kind="stable")]) >= 0).all()  # the same order


def test_rows_are_scored_by_their_whole_history(dataset: Dataset, model: RetrieverVectors) -> None:
    rows = dataset.rows("valid")
    scores = model.score(rows)
    for row in range(0, len(rows), 7):
        expected = model.score_catalogue(0, rows.history(row))[rows.items[row] - 1]
        assert scores[row] == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    strangers = Rows.for_candidates(rows.history(3), np.array([0, 1, 2]))
    assert model.score(strangers)[0] == 0


def test_a_user_is_the_history_whoever_it_is(model: RetrieverVectors) -> None:
    history = torch.tensor([[0, 0, 3, 5], [0, 0, 5, 3], [0, 0, 0, 0]])
    known, unknown = (model.user_embedding(torch.full((3,), user), history) for user in (1, 0))
    torch.testing.assert_close(known, unknown)
    assert not known[2].any()
    assert model.user_evidence(torch.zeros(3, dtype=torch.int64), history).tolist() == [2, 2, 0]
    if model.factors:
        assert not torch.allclose(known[0], known[1])  # the latest counts most


def test_item_vectors_have_length_1_without_the_bias(model: RetrieverVectors) -> None:
    vectors = model.item_vectors(torch.arange(1, model.n_items + 1))
    assert vectors.shape == (model.n_items, model.factors + 1)
    if model.factors:
        lengths = vectors[:, :-1].norm(dim=1)
        assert ((lengths - 1).abs() < 1e-4).sum() > model.n_items / 2


def test_it_saves_and_loads_to_equal_scores_and_vectors(
    dataset: Dataset, model: RetrieverVectors, tmp_path: Path
) -> None:
    model.save(tmp_path / "cf")
    loaded = load_cf(tmp_path / "cf")
    assert type(loaded) is type(model)
    rows = dataset.rows("valid")
    np.testing.assert_array_equal(loaded.score(rows), model.score(rows))
    torch.testing.assert_close(loaded.items, model.items)


def test_it_grows_by_items_that_it_knows_nothing_of(dataset: Dataset, model: RetrieverVectors) -> None:
    grown, rows = model.with_items(2), dataset.rows("valid")
    assert grown.n_items == model.n_items + 2
    if model.kind != "sasrec_softmax":  # its scores of what nobody likes shift with nothing, its state does not
        np.testing.assert_allclose(grown.score(rows), model.score(rows), rtol=1e-5, atol=1e-6)
    assert grown.score_catalogue(0, rows.history(0)).shape == (model.n_items + 2,)


def test_models_of_folds_share_a_space(dataset: Dataset) -> None:
    reference, train = fitted(dataset, "ease"), dataset.rows("train")
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    half = EASEVectors.fit(train.take(train.users % 2 == 0), dataset.rows("valid"), **sizes)
    codes = torch.arange(1, half.n_items + 1)

    def apart(model: RetrieverVectors) -> float:
        return float((model.item_embedding(codes) - reference.item_embedding(codes))[:, :-1].norm())

    before = apart(half)
    align(half, reference)
    assert apart(half) < 0.8 * before


def test_likes_of_rows_are_those_of_the_data_set(dataset: Dataset) -> None:
    sizes = (len(dataset.user_vocabulary), len(dataset.item_vocabulary))
    likes, times = likes_of_rows(dataset.rows("train"), *sizes)
    assert (likes != likes_matrix(dataset, "train")).nnz == 0
    assert (times != like_times(dataset, "train")).nnz == 0
