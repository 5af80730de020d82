import numpy as np
import pytest

from ccf_llm.evaluation.metrics import auc, log_loss
from ccf_llm.fusion.blend import Blend


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
    blend.fit(3 * llm, cf, labels)
    both = blend(3 * llm, cf)
    assert auc(labels, both) > max(auc(labels, llm), auc(labels, cf)) + 0.03
    assert log_loss(labels, both) < min(log_loss(labels, 3 * llm), log_loss(labels, cf))
    assert blend.weights[1] == pytest.approx(3 * float(blend.weights[0]), rel=0.2)


def test_a_model_that_would_count_against_itself_is_left_out() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 1000)
    good, bad = noisy(labels, 2.0, 1), -noisy(labels, 1.0, 2)
    blend = Blend()
    blend.fit(bad, good, labels)
    assert float(blend.weights[0]) == 0.0
    assert auc(labels, blend(bad, good)) == pytest.approx(auc(labels, good))
