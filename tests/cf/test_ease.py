import numpy as np
import pytest
from retriever_suite import EVEN, N_ITEMS, ODD, RetrieverSuite, assert_recent_likes_count_more, tastes
from scipy.sparse import csr_matrix

from ccf_llm.cf import ease
from ccf_llm.cf.ease import EASE, gram_matrix, item_weights
from ccf_llm.cf.settings import EASEConfig
from ccf_llm.errors import CCFError


class TestEASE(RetrieverSuite):
    model_type = EASE
    config = EASEConfig(l2=50.0, dim=6)
    dim = 6


def naive(likes: csr_matrix, l2: float) -> np.ndarray:  # type: ignore[type-arg]
    """Steck 2019, equation 8, as it is written."""
    x = likes.toarray().astype(np.float64)[:, 1:]
    inverse = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    return np.eye(x.shape[1]) - inverse @ np.diag(1 / np.diag(inverse))


@pytest.mark.parametrize("block", [3, 1024])
@pytest.mark.parametrize("weight", [1, 3])
def test_is_the_closed_form(block: int, weight: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "BLOCK", block)
    likes = tastes()
    likes[1] *= weight  # a number of plays
    expected = naive(likes, 2.5)
    weights = item_weights(gram_matrix(csr_matrix(likes[:, 1:], dtype=np.float64)), 2.5)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert not weights.diagonal().any()
    model = EASE.fit(likes, config=EASEConfig(l2=2.5))
    history = EVEN[:4]
    np.testing.assert_allclose(model.scores(history), expected[history - 1].sum(0), atol=1e-6)


def test_vectors_of_full_width_give_the_scores() -> None:
    model = EASE.fit(tastes(), config=EASEConfig(l2=5, dim=64))
    histories = [EVEN[:4], ODD[:2]]
    products = model.history_vectors(histories) @ model.item_vectors().T
    assert model.item_vectors().shape == (N_ITEMS, 20)  # no wider than the liked items
    np.testing.assert_allclose(products, model.scores_of(histories), atol=1e-5)


def test_likeness_is_the_mean_weight_of_both_directions() -> None:
    model = EASE.fit(tastes(), config=EASEConfig(l2=5))
    weights = naive(tastes(), 5)
    np.testing.assert_allclose(model.similar(4)[4:20], (weights[3] + weights[:, 3])[4:20] / 2, atol=1e-6)


def test_without_a_width_there_are_no_vectors() -> None:
    model = EASE.fit(tastes(), config=EASEConfig(dim=0))
    with pytest.raises(CCFError, match=r"^ease: has no vectors for slots; take ease, knn or als, with `dim` above 0$"):
        model.item_vectors()


def test_a_catalogue_beyond_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "free_memory", lambda: 1_000_000_000)
    likes = csr_matrix(np.append(0, np.ones(50_000))[None])
    with pytest.raises(CCFError, match=r"^ease: 50,000 liked items need 30.0 GB and 1.0 GB are free; use als, [^\n]*$"):
        EASE.fit(likes)


def test_only_liked_items_take_memory() -> None:
    likes = csr_matrix((np.ones(3), ([1, 1, 2], [7, 90_000, 7])), shape=(3, 100_001))
    model = EASE.fit(likes, config=EASEConfig(l2=1))
    assert model.weights.shape == (2, 2)
    assert model.top([np.array([7])], 1, seen=[np.array([7])]).tolist() == [[90_000]]


def test_recent_likes_count_more() -> None:
    assert_recent_likes_count_more(EASE.fit(tastes(), config=EASEConfig(l2=5, dim=64, half_life=2.0)), 2.0)
