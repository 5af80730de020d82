"""Prior from text: a vector goes from what its words predict to its own as likes come."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from retriever_suite import EVEN, N_ITEMS, ODD, tastes
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_matrix

import tiny
from ccf_llm.cf.als import ALS
from ccf_llm.cf.candidates import CrossFittedRetrievers
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.kinds import load_cf, load_retriever
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.prior import LIGHTER, NEAR, PRIOR_FILE, STATES, STEEP, Prior, Words, trust
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import ALSConfig, EASEConfig, PriorConfig
from ccf_llm.cf.vectors import EASEVectors
from ccf_llm.data.split import user_time_split
from ccf_llm.errors import CCFError

CONFIG = PriorConfig(words="sentences", k=2.0, l2=0.1)
NEW = N_ITEMS
"""The item that nobody likes; its words are those of the odd ones."""
RARE = 4
"""An even item."""
HISTORY = ODD[1:5]


def words(config: PriorConfig = CONFIG) -> Words:
    """Of two kinds: odd items say one thing, even ones another, and each a little of its own."""
    vectors = 0.1 * np.random.default_rng(0).normal(size=(N_ITEMS + 1, 6)).astype(np.float32)
    vectors[1::2, 0] += 1
    vectors[2::2, 1] += 1
    vectors[0] = 0
    return Words(vectors, config)


def liked_by(people: int) -> csr_matrix:
    """`tastes` where only so many people like the item RARE."""
    likes = tastes().tolil()
    those = np.flatnonzero(tastes()[:, RARE].toarray().ravel())
    likes[those[people:], RARE] = 0
    return csr_matrix(likes)


@pytest.fixture(scope="module", params=["ease", "als"])
def kind(request: pytest.FixtureRequest) -> tuple[type[Retriever], Any]:
    kinds = {"ease": (EASE, EASEConfig(l2=20.0, dim=6)), "als": (ALS, ALSConfig(dim=6, iterations=5))}
    found: tuple[type[Retriever], Any] = kinds[request.param]
    return found


def test_is_the_weighted_ridge_regression() -> None:
    rng = np.random.default_rng(1)
    counts = np.array([0, 3, 9, 1, 30, 2])
    own, vectors = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    prior = Prior.fit(Words(np.pad(own, ((1, 0), (0, 0))), CONFIG), counts, vectors)
    # The same by plain least squares, the penalty as rows of their own and the means as a column.
    known = counts > 0
    root = np.sqrt(counts / (counts + CONFIG.k))[known, None]
    table = np.concatenate([root * np.column_stack([own[known], np.ones(known.sum())]), np.zeros((3, 4))])
    table[-3:, :3] = np.sqrt(CONFIG.l2) * np.eye(3)
    found, *_ = np.linalg.lstsq(table, np.concatenate([root * vectors[known], np.zeros((3, 2))]), rcond=None)
    np.testing.assert_allclose(prior.predicted, own @ found[:3] + found[3], atol=1e-5)
    assert trust(counts, 3.0).tolist() == [0, 0.5, 0.75, 0.25, 30 / 33, 0.4]


def test_a_vector_goes_from_the_prediction_to_its_own(kind: tuple[type[Retriever], Any]) -> None:
    model_type, config = kind
    shares = []
    for people in (1, 4, 30, 60):
        likes = liked_by(people)
        alone, drawn = (model_type.fit(likes, config=config, words=told) for told in (None, words()))
        assert drawn.prior is not None
        own, predicted = alone.item_vectors()[RARE - 1], drawn.prior.predicted[RARE - 1]
        predicted = predicted * np.linalg.norm(own) / np.linalg.norm(predicted)
        expected = (people * own + CONFIG.k * predicted) / (people + CONFIG.k)
        np.testing.assert_allclose(drawn.item_vectors()[RARE - 1], expected, rtol=1e-4, atol=1e-6)
        left = np.linalg.norm(drawn.item_vectors()[RARE - 1] - own) / np.linalg.norm(predicted - own)
        shares.append(float(left))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.6
    assert shares[-1] < 0.05


def test_a_new_item_is_the_prediction_in_vectors_scores_and_likeness(kind: tuple[type[Retriever], Any]) -> None:
    model_type, config = kind
    alone, drawn = (model_type.fit(tastes(), config=config, words=told) for told in (None, words()))
    assert drawn.prior is not None
    np.testing.assert_array_equal(drawn.item_vectors()[NEW - 1], drawn.prior.predicted[NEW - 1])
    assert not alone.item_vectors()[NEW - 1].any()
    scores = drawn.scores(HISTORY)
    assert scores[NEW - 1] > scores[EVEN - 1].max()
    assert drawn.scores(EVEN[:4])[NEW - 1] < drawn.scores(EVEN[:4])[EVEN[4:] - 1].min()
    likeness = drawn.similar(NEW)
    assert likeness[ODD - 1].min() > likeness[EVEN - 1].max()
    assert drawn.similar(ODD[2])[NEW - 1] > drawn.similar(EVEN[2])[NEW - 1]
    # In a history it says nothing.
    np.testing.assert_array_equal(drawn.scores(np.append(HISTORY, NEW)), scores)


def test_scores_of_new_items_are_products_of_vectors() -> None:
    model = EASE.fit(tastes(), config=EASEConfig(l2=20.0, dim=20), words=words())
    products = model.history_vectors([HISTORY]) @ model.item_vectors().T
    # Of others too, but for what a like would add to its own item, which is left out.
    others = np.setdiff1d(np.arange(1, N_ITEMS + 1), HISTORY) - 1
    np.testing.assert_allclose(products[0, others], model.scores(HISTORY)[others], atol=1e-5)
    assert not model.weights.diagonal().any()


def test_further_items_are_told_by_their_words(kind: tuple[type[Retriever], Any], tmp_path: Path) -> None:
    model_type, config = kind
    model = model_type.fit(tastes(), config=config, words=words())
    told = words().vectors[[3, 4]]
    more = model.with_items(2, told)
    assert (more.n_items, model.n_items) == (N_ITEMS + 2, N_ITEMS)
    np.testing.assert_allclose(more.scores(HISTORY)[:N_ITEMS], model.scores(HISTORY), rtol=1e-5, atol=1e-6)
    like_odd, like_even = more.scores(HISTORY)[N_ITEMS:]
    assert like_odd > like_even
    assert more.prior is not None
    assert more.prior.further is not None
    expected = more.prior.further.told(more.prior.predicted[2:4], told, CONFIG)
    np.testing.assert_allclose(more.item_vectors()[N_ITEMS:], expected, rtol=1e-4, atol=1e-6)
    more.save(tmp_path / "cf")
    np.testing.assert_array_equal(load_retriever(tmp_path / "cf").scores(HISTORY), more.scores(HISTORY))
    with pytest.raises(CCFError, match=r"^words: give the vectors of the 2 further items, as this model has a prior"):
        model.with_items(2)
    with pytest.raises(CCFError, match=r"^words: shape \(2, 5\); give \(items, 6\), of the encoder that"):
        model.with_items(2, told[:, :5])


def test_items_held_out_have_a_length_of_their_own_and_nothing_else_moves(kind: tuple[type[Retriever], Any]) -> None:
    model_type, config = kind
    new = np.arange(N_ITEMS + 1) == NEW
    plain = model_type.fit(tastes(), config=config, words=words())
    found = {
        times: model_type.fit(
            tastes(), config=config, words=replace(words(CONFIG.model_copy(update={"new_length": times})), new=new)
        )
        for times in (1.0, 2.0)
    }
    for model in found.values():
        np.testing.assert_array_equal(model.item_vectors()[~new[1:]], plain.item_vectors()[~new[1:]])
        np.testing.assert_array_equal(model.scores(HISTORY)[~new[1:]], plain.scores(HISTORY)[~new[1:]])
    one, two = (model.item_vectors()[NEW - 1] for model in found.values())
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    # Likes vary in length; what is predicted of it lies among them.
    lengths = np.linalg.norm(model_type.fit(tastes(), config=config).item_vectors()[:-1], axis=1)
    assert lengths.min() < np.linalg.norm(one) < lengths.max()
    assert found[1.0].scores(HISTORY)[NEW - 1] < found[2.0].scores(HISTORY)[NEW - 1]


def test_a_new_item_is_told_by_the_map_by_what_is_near_and_by_a_length_of_its_own() -> None:
    rng = np.random.default_rng(2)
    counts, new = np.array([3, 9, 1, 30, 2, 0]), np.arange(7) == 6
    own, vectors = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    vectors[5] = 0
    own[5] = own[3] + 0.05  # called nearly as the fourth
    words = Words(np.pad(own, ((1, 0), (0, 0))), CONFIG, new)
    short = Prior.fit(replace(words, new=None), counts, vectors).predicted
    prior = Prior.fit(words, counts, vectors)
    np.testing.assert_array_equal(prior.predicted[:5], short[:5])
    unit = own / np.linalg.norm(own, axis=1, keepdims=True)
    near = counts[:5] / (counts[:5] + CONFIG.k) * np.exp((unit[:5] @ unit[5] - NEAR) / STEEP)
    near /= 1 + near.sum()
    lengths = np.linalg.norm(vectors[:5], axis=1)
    root = np.sqrt(counts / (counts + CONFIG.k))[:5, None]
    table = np.concatenate([root * np.column_stack([own[:5], np.ones(5)]), np.zeros((3, 4))])
    table[-3:, :3] = np.sqrt(LIGHTER * CONFIG.l2) * np.eye(3)
    slope, *_ = np.linalg.lstsq(table, np.append(root[:, 0] * lengths, np.zeros(3)), rcond=None)
    direction = short[5] + near @ (vectors[:5] - short[:5])
    length = own[5] @ slope[:3] + slope[3] + near @ (lengths - own[:5] @ slope[:3] - slope[3])
    length = max(length, np.linalg.norm(short[5]))
    np.testing.assert_allclose(prior.predicted[5], direction / np.linalg.norm(direction) * length, rtol=1e-4)
    # The nearest one decides of it.
    cosine = prior.predicted[5] @ vectors[3] / np.linalg.norm(prior.predicted[5]) / np.linalg.norm(vectors[3])
    assert cosine > 0.95


def test_a_prior_of_before_further_words_is_read_and_keeps_what_it_predicts(tmp_path: Path) -> None:
    prior = EASE.fit(tastes(), config=EASEConfig(l2=20.0, dim=6), words=words()).prior
    assert prior is not None
    replace(prior, further=None).save(tmp_path)
    loaded = Prior.load(tmp_path, CONFIG.model_dump(exclude={"new_length"}))
    np.testing.assert_array_equal(loaded.predicted, prior.predicted)
    np.testing.assert_allclose(loaded.with_items(words().vectors[[3]]).predicted[-1], prior.predicted[2], rtol=1e-5)


def test_saves_and_loads_to_equal_scores_and_refuses_what_is_damaged(
    kind: tuple[type[Retriever], Any], tmp_path: Path
) -> None:
    model_type, config = kind
    model = model_type.fit(tastes(), config=config, words=words())
    model.save(tmp_path / "cf")
    loaded = load_retriever(tmp_path / "cf")
    assert loaded.prior is not None
    assert loaded.prior.config == CONFIG
    np.testing.assert_array_equal(loaded.scores_of([HISTORY]), model.scores_of([HISTORY]))
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())
    path = tmp_path / "cf" / "prior.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CCFError, match=r"prior.safetensors: cut or damaged"):
        load_retriever(tmp_path / "cf")
    path.unlink()
    with pytest.raises(CCFError, match=r"prior.safetensors"):
        load_retriever(tmp_path / "cf")


def test_a_kind_that_takes_no_words_passes_them_over() -> None:
    told, alone = ItemKNN.fit(tastes(), words=words()), ItemKNN.fit(tastes())
    assert told.prior is None
    np.testing.assert_array_equal(told.scores(HISTORY), alone.scores(HISTORY))


def test_refuses_words_of_other_items() -> None:
    wrong = Words(words().vectors[1:], CONFIG)
    with pytest.raises(CCFError, match=r"^words: shape \(21, 6\) for 21 items; give a row for each, [^\n]*$"):
        EASE.fit(tastes(), words=wrong)
    broken = words()
    broken.vectors[3, 2] = np.nan
    with pytest.raises(CCFError, match=r"^words: not all are finite numbers; encode the items' texts again$"):
        EASE.fit(tastes(), words=broken)


def test_models_of_folds_agree_better_on_rare_items() -> None:
    likes = liked_by(1)

    def agreement(told: Words | None) -> float:
        crossed = CrossFittedRetrievers.fit(EASE, likes, folds=2, config=EASEConfig(l2=20.0, dim=6), words=told)
        ours, theirs = (model.item_vectors() for model in crossed.models)
        left, _, right = np.linalg.svd(ours.T @ theirs)
        turned = ours[RARE - 1] @ (left @ right)
        lengths = np.linalg.norm(turned) * np.linalg.norm(theirs[RARE - 1])
        return float(turned @ theirs[RARE - 1] / max(lengths, 1e-12))

    assert agreement(words()) > 0.8
    assert agreement(words()) > agreement(None)


def test_as_a_cf_model_it_shows_saves_and_grows_the_same(tmp_path: Path) -> None:
    dataset = user_time_split(tiny.make_dataset())
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": len(dataset.item_vocabulary)}
    n = sizes["n_items"]
    told = Words(np.random.default_rng(0).normal(size=(n + 1, 6)).astype(np.float32), CONFIG)
    fit = EASEVectors.fit(dataset.rows("train"), dataset.rows("valid"), words=told, **sizes)
    assert fit.reads_words
    vectors = fit.retriever.item_vectors()
    shown = fit.item_vectors(torch.arange(1, n + 1)).numpy()[:, : vectors.shape[1]]
    np.testing.assert_allclose(shown, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)
    fit.save(tmp_path / "cf")
    loaded = load_cf(tmp_path / "cf")
    assert isinstance(loaded, EASEVectors)
    torch.testing.assert_close(loaded.items, fit.items, rtol=0, atol=0)
    rows = dataset.rows("valid")
    np.testing.assert_array_equal(loaded.score(rows), fit.score(rows))
    grown = fit.with_items(1, told.vectors[3:4])
    assert grown.retriever.prior is not None
    predicted = grown.retriever.prior.predicted[-1]
    own = grown.item_vectors(torch.tensor([n + 1])).numpy()[0, : len(predicted)]
    np.testing.assert_allclose(own, predicted / np.linalg.norm(predicted), rtol=1e-4, atol=1e-6)
    with pytest.raises(CCFError, match=r"^words: give the vectors of the 1 further items"):
        fit.with_items(1)


def test_what_all_states_share_is_taken_off_and_further_items_are_read_so() -> None:
    rng = np.random.default_rng(2)
    plain, states = (rng.normal(size=(N_ITEMS, n)).astype(np.float32) for n in (3, 4))
    states[:, 2] += 1000  # of which little says anything of an item
    raw, new = np.hstack([plain, states]), np.zeros(N_ITEMS + 1, dtype=bool)
    new[NEW] = True
    told = Words.of(raw, CONFIG, new, states=4)
    off = states - np.delete(states, NEW - 1, axis=0).mean(0)
    off *= STATES / np.linalg.norm(off, axis=1, keepdims=True)
    np.testing.assert_array_equal(told.vectors[1:, :3], plain)
    np.testing.assert_allclose(
        told.vectors[1:, 3:], STATES * off / np.linalg.norm(off, axis=1, keepdims=True), atol=1e-4
    )
    assert not told.vectors[0].any()
    assert Words.of(plain, CONFIG).centre is None
    counts, vectors = rng.integers(1, 9, N_ITEMS), rng.normal(size=(N_ITEMS, 2)).astype(np.float32)
    counts[NEW - 1] = 0
    prior = Prior.fit(told, counts, vectors)
    again = prior.with_items(raw[NEW - 1 : NEW])
    np.testing.assert_allclose(again.predicted[-1], prior.predicted[NEW - 1], atol=1e-5)


def test_what_was_taken_off_is_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(6, 5)).astype(np.float32)
    prior = Prior.fit(Words.of(raw, CONFIG, states=2), np.arange(1, 7), rng.normal(size=(6, 2)).astype(np.float32))
    prior.save(tmp_path)
    loaded = Prior.load(tmp_path, CONFIG.model_dump())
    np.testing.assert_array_equal(loaded.with_items(raw[:2]).predicted, prior.with_items(raw[:2]).predicted)
    tensors = load_file(tmp_path / PRIOR_FILE)
    save_file(tensors | {"centre": torch.zeros(9)}, tmp_path / PRIOR_FILE)
    with pytest.raises(CCFError, match=r"does not hold a prior \(a centre of shape \(9,\)\)"):
        Prior.load(tmp_path, CONFIG.model_dump())
