import numpy as np
import pytest

from ccf_llm.recommend.diversity import mmr


def some(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 4))
    return rng.normal(size=n).astype(np.float32), (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(
        np.float32
    )


def by_definition(scores: np.ndarray, vectors: np.ndarray, k: int, diversity: float) -> list[int]:
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    taken: list[int] = []
    while len(taken) < min(k, len(scores)):
        worth = {
            i: (1 - diversity) * relevance[i] - diversity * max((vectors[i] @ vectors[j] for j in taken), default=0.0)
            for i in range(len(scores))
            if i not in taken
        }
        taken.append(max(worth, key=lambda i: (worth[i], scores[i])))
    return taken


@pytest.mark.parametrize("diversity", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_greedy_choice_of_the_definition(diversity: float, seed: int) -> None:
    scores, vectors = some(12, seed)
    assert mmr(scores, vectors, 7, diversity).tolist() == by_definition(scores, vectors, 7, diversity)


def test_zero_is_the_order_of_the_scores_and_one_avoids_what_is_alike() -> None:
    scores = np.array([0.9, 0.8, 0.1, 0.5], dtype=np.float32)
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
    assert mmr(scores, vectors, 4, 0).tolist() == [0, 1, 3, 2]
    assert mmr(scores, vectors, 2, 1).tolist() == [0, 2]
    assert sorted(mmr(scores, vectors, 9, 0.3).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_nothing_and_equal_scores(diversity: float) -> None:
    assert mmr(np.zeros(0, dtype=np.float32), np.zeros((0, 2), dtype=np.float32), 3, diversity).tolist() == []
    equal = np.ones(3, dtype=np.float32)
    assert sorted(mmr(equal, np.eye(3, dtype=np.float32), 3, diversity).tolist()) == [0, 1, 2]
