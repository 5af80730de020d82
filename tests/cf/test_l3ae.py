"""L3AE: EASE whose weights are drawn to what words say."""

from pathlib import Path

import numpy as np
import pytest
from retriever_suite import EVEN, ODD, tastes

import tiny
from ccf_llm.cf import ease, l3ae
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.kinds import load_cf, load_retriever
from ccf_llm.cf.l3ae import L3AE
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import EASEConfig, L3AEConfig, PriorConfig
from ccf_llm.cf.vectors import L3AEVectors
from ccf_llm.data.rows import Floats
from ccf_llm.data.split import user_time_split
from ccf_llm.errors import CCFError

CONFIG = L3AEConfig(l2=20.0, strength=2.0, words_l2=1.5, dim=6)
LIKED = 20
"""Items 1 to 20; item 21 nobody likes."""


def words() -> Words:
    """Items 2 and 5, of other people, are called alike."""
    vectors = np.random.default_rng(0).normal(size=(LIKED + 2, 6)).astype(np.float32)
    vectors[5] = vectors[2] + 0.01
    return Words(vectors, PriorConfig(words="sentences", l2=1.0))


def own_weights(config: L3AEConfig) -> Floats:
    return L3AE.fit(tastes(), config=config, words=words()).weights


@pytest.mark.parametrize("block", [3, 1024])
def test_is_the_least_of_all_with_a_diagonal_of_zero(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ease, l3ae):
        monkeypatch.setattr(module, "BLOCK", block)
    x = tastes().toarray().astype(np.float64)[1:, 1 : LIKED + 1]
    told = words().vectors[1 : LIKED + 1].astype(np.float64)
    inverse = np.linalg.inv(told @ told.T + CONFIG.words_l2 * np.eye(LIKED))
    drawn = CONFIG.strength * (np.eye(LIKED) - inverse / np.diag(inverse))
    expected = np.zeros((LIKED, LIKED))
    for item in range(LIKED):  # a ridge regression for each column, the item itself left out
        others = np.arange(LIKED) != item
        gram = x[:, others].T @ x[:, others] + CONFIG.l2 * np.eye(LIKED - 1)
        aim = x[:, others].T @ x[:, item] + CONFIG.l2 * drawn[others, item]
        expected[others, item] = np.linalg.solve(gram, aim)
    np.testing.assert_allclose(own_weights(CONFIG), expected, atol=1e-5)


def test_without_strength_it_is_ease() -> None:
    plain = EASE.fit(tastes(), config=EASEConfig(l2=CONFIG.l2))
    np.testing.assert_allclose(own_weights(CONFIG.model_copy(update={"strength": 0.0})), plain.weights, atol=1e-6)


def test_what_is_called_alike_adds_to_each_other() -> None:
    plain, drawn = EASE.fit(tastes(), config=EASEConfig(l2=CONFIG.l2)).weights, own_weights(CONFIG)
    assert drawn[1, 4] > plain[1, 4] + 0.2
    assert drawn[4, 1] > plain[4, 1] + 0.2


def test_saves_and_loads_to_equal_scores_with_its_prior(tmp_path: Path) -> None:
    model = L3AE.fit(tastes(), config=CONFIG, words=words())
    model.save(tmp_path / "cf")
    loaded = load_retriever(tmp_path / "cf")
    assert isinstance(loaded, L3AE)
    assert loaded.config == CONFIG
    histories = [EVEN[:3], ODD[:4]]
    np.testing.assert_array_equal(loaded.scores_of(histories), model.scores_of(histories))
    more = loaded.with_items(1, words().vectors[4:5])
    assert more.scores(EVEN[2:6])[-1] > more.scores(ODD[3:7])[-1]  # called as an even one


def test_refuses_to_learn_without_words() -> None:
    with pytest.raises(CCFError, match=r"^words: l3ae reads the items' words; give their vectors [^\n]*or take ease$"):
        L3AE.fit(tastes())


def test_as_a_cf_model_it_is_fitted_saved_and_grown_with_words(tmp_path: Path) -> None:
    dataset = user_time_split(tiny.make_dataset())
    n = len(dataset.item_vocabulary)
    vectors = np.random.default_rng(0).normal(size=(n + 1, 6)).astype(np.float32)
    sizes = {"n_users": len(dataset.user_vocabulary), "n_items": n}
    told = Words(vectors, PriorConfig(words="sentences:mine"))
    model = L3AEVectors.fit(dataset.rows("train"), dataset.rows("valid"), config=CONFIG, words=told, **sizes)
    model.save(tmp_path / "cf")
    loaded, rows = load_cf(tmp_path / "cf"), dataset.rows("valid")
    assert isinstance(loaded, L3AEVectors)
    assert loaded.reads_words == "sentences:mine"
    np.testing.assert_array_equal(loaded.score(rows), model.score(rows))
    grown = loaded.with_items(1, vectors[3:4])
    np.testing.assert_allclose(grown.score(rows), model.score(rows), rtol=1e-5)
    assert grown.score_catalogue(0, rows.history(0)).shape == (n + 1,)
