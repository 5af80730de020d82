import numpy as np
import pytest
from retriever_suite import EVEN, ODD, RetrieverSuite, assert_recent_likes_count_more, tastes
from scipy.sparse import csr_matrix

from ccf_llm.cf import knn
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.settings import KNNConfig


class TestItemKNN(RetrieverSuite):
    model_type = ItemKNN
    config = KNNConfig(k=8, shrink=2.0, dim=6)
    dim = 6


@pytest.mark.parametrize("block", [4, 1024])
@pytest.mark.parametrize(("k", "shrink"), [(3, 0.0), (3, 10.0), (50, 2.0)])
def test_is_the_plain_loop(k: int, shrink: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "BLOCK", block)
    likes = tastes()
    likes[2] *= 3  # a number of plays
    x = likes.toarray()[:, 1:].astype(np.float64)
    n = x.shape[1]
    model = ItemKNN.fit(likes, config=KNNConfig(k=k, shrink=shrink, dim=0))
    history, expected = EVEN[:4], np.zeros(n)
    for target in range(n):
        cosines = {}
        for other in range(n):
            below = np.linalg.norm(x[:, other]) * np.linalg.norm(x[:, target]) + shrink
            if other != target and below:
                cosines[other] = x[:, other] @ x[:, target] / below
        near = sorted(cosines, key=lambda other: (-cosines[other], other))[:k]
        expected[target] = sum(cosines[other] for other in near if other + 1 in history)
    np.testing.assert_allclose(model.scores(history), expected, atol=1e-6)


def test_vectors_of_full_width_give_the_scores() -> None:
    model = ItemKNN.fit(tastes(), config=KNNConfig(k=20, dim=64))
    histories = [EVEN[:4], ODD[:2]]
    products = model.history_vectors(histories) @ model.item_vectors().T
    np.testing.assert_allclose(products, model.scores_of(histories), atol=1e-5)


def test_likeness_is_the_shrunk_cosine() -> None:
    likes = csr_matrix(np.array([[0, 1, 1, 0], [0, 1, 1, 1], [0, 1, 0, 0]]))
    scores = ItemKNN.fit(likes, config=KNNConfig(shrink=1)).similar(1)
    np.testing.assert_allclose(scores[1:], [2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)], rtol=1e-6)


def test_recent_likes_count_more() -> None:
    assert_recent_likes_count_more(ItemKNN.fit(tastes(), config=KNNConfig(k=20, dim=64, half_life=2.0)), 2.0)
