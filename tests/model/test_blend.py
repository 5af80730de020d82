import numpy as np
import pytest

from ccf_llm.evaluation.metrics import auc, log_loss
from ccf_llm.model.blend import Blend


def noisy(labels: np.ndarray, strength: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=len(labels))
    return (strength * (labels - 0.5) + noise).astype(np.float32)


def test_it_starts_as_the_language_model_alone() -> None:
    scores = np.array([0.5, -2.0], dtype=np.float32)
    np.testing.assert_array_equal(Blend()(scores, np.array([9.0, 9.0], dtype=np.float32)), scores)


def test_two_weak_models_are_better_together_and_calibrated() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 4000)
    llm, cf = noisy(labels, 1.0, 1), noisy(labels, 1.0, 2)
    blend = Blend()
    blend.fit(3 * llm, cf, labels, np.arange(4000) // 10)
    both = blend(3 * llm, cf)
    assert auc(labels, both) > max(auc(labels, llm), auc(labels, cf)) + 0.03
    assert log_loss(labels, both) < min(log_loss(labels, 3 * llm), log_loss(labels, cf))
    assert blend.weights[1] == pytest.approx(3 * float(blend.weights[0]), rel=0.2)


def test_a_model_that_would_count_against_itself_is_left_out() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 1000)
    good, bad = noisy(labels, 2.0, 1), -noisy(labels, 1.0, 2)
    blend = Blend()
    blend.fit(bad, good, labels, np.arange(1000) // 10)
    assert float(blend.weights[0]) == 0.0
    assert auc(labels, blend(bad, good)) == pytest.approx(auc(labels, good))


def test_what_helps_one_user_alone_is_left_out() -> None:
    """The other model is no more than a mood of each user: knowing a few of them says nothing of the next."""
    random = np.random.default_rng(0)
    labels, users = random.integers(0, 2, 400), np.arange(400) // 40
    mood = (5 * random.normal(size=10)).astype(np.float32)[users]
    blend = Blend()
    blend.fit(mood, noisy(labels, 2.0, 1), labels, users)
    assert float(blend.weights[0]) == 0.0
    assert float(blend.weights[1]) > 0.5


@pytest.mark.parametrize("users", [np.zeros(40), np.arange(40)])
def test_one_user_and_users_of_one_row_have_a_blend(users: np.ndarray) -> None:
    labels = np.tile([0, 1], 20)
    blend = Blend()
    blend.fit(noisy(labels, 2.0, 1), noisy(labels, 2.0, 2), labels, users)
    assert bool((blend.weights[:2] >= 0).all())
    assert float(blend.weights[:2].sum()) > 0.1


def test_folds_of_one_class_are_no_folds() -> None:
    labels = np.array([1, 1, 1, 0])
    blend = Blend()
    blend.fit(noisy(labels, 2.0, 1), noisy(labels, 2.0, 2), labels, np.array([1, 1, 1, 2]))
    assert bool(blend.weights.isfinite().all())
