import sys

import numpy as np
import pytest
from retriever_suite import EVEN, N_ITEMS, ODD, RetrieverSuite, tastes
from scipy.sparse import csr_matrix

from ccf_llm.cf.als import ALS
from ccf_llm.cf.settings import ALSConfig
from ccf_llm.errors import CCFError


class TestALS(RetrieverSuite):
    model_type = ALS
    config = ALSConfig(dim=2, regularization=5.0, alpha=3.0)
    dim = 2


def test_the_seed_decides_the_start() -> None:
    config = ALSConfig(dim=4, iterations=2)
    one, same, other = (ALS.fit(tastes(), config=config, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.factors, same.factors)
    assert not np.array_equal(one.factors, other.factors)


def test_each_turn_is_told() -> None:
    said: list[str] = []
    ALS.fit(tastes(), config=ALSConfig(dim=4, iterations=2), progress=said.append)
    assert [line.partition(",")[0] for line in said] == ["als: turn 1 of 2", "als: turn 2 of 2"]


def test_folding_in_is_the_librarys_and_the_papers() -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    model = ALS.fit(tastes(), config=ALSConfig(dim=4, regularization=0.5, alpha=5))
    liked = np.zeros((1, N_ITEMS), dtype=np.float32)
    liked[0, EVEN[:4] - 1] = 1
    with threadpool_limits(1, "blas"):
        theirs = AlternatingLeastSquares(factors=4, regularization=0.5, alpha=5, num_threads=1)
    theirs.item_factors = model.factors
    theirs.user_factors = np.zeros((1, 4), dtype=np.float32)
    [vector] = model.history_vectors([EVEN[:4]])
    np.testing.assert_array_equal(vector, theirs.recalculate_user(0, csr_matrix(liked)))
    ids, scores = theirs.recommend(0, csr_matrix(liked), N=5, recalculate_user=True, filter_already_liked_items=True)
    assert model.top([EVEN[:4]], 5, seen=[EVEN[:4]]).tolist() == [(ids + 1).tolist()]
    np.testing.assert_allclose(model.scores(EVEN[:4])[ids], scores, rtol=1e-5)
    # Hu et al. 2008, equation 4: x = (Y'CY + reg I)^-1 Y'Cp
    y, confidence = model.factors.astype(np.float64), 1 + 4 * liked[0]
    expected = np.linalg.solve((y.T * confidence) @ y + 0.5 * np.eye(4), y.T @ (confidence * liked[0]))
    np.testing.assert_allclose(vector, expected, rtol=1e-4)


def test_a_weight_counts_as_confidence() -> None:
    likes = tastes()
    heavy = likes.copy()
    heavy.data[:] = 3
    config = ALSConfig(dim=4, alpha=2)
    lighter = ALS.fit(likes, config=config.model_copy(update={"alpha": 6.0}))
    np.testing.assert_array_equal(ALS.fit(heavy, config=config).factors, lighter.factors)
    assert not np.array_equal(ALS.fit(likes, config=config).factors, lighter.factors)


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(CCFError, match=r"^als: implicit cannot be loaded [^\n]*; pip install 'ccf-llm\[als\]'$"):
        ALS.fit(tastes())


def test_likeness_is_the_cosine_of_factors() -> None:
    model = ALS.fit(tastes(), config=ALSConfig(dim=4))
    a, b = model.factors[ODD[1] - 1], model.factors[ODD[2] - 1]
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert model.similar(int(ODD[1]))[ODD[2] - 1] == pytest.approx(expected, rel=1e-5)
