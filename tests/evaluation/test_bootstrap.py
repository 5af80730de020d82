import time

import numpy as np
from sklearn.metrics import roc_auc_score

from ccf_llm.evaluation.bootstrap import bootstrap_auc, bootstrap_uauc, draw_users, interval
from ccf_llm.evaluation.metrics import uauc


def sample(n_users: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return rng.integers(0, n_users, n), labels, np.round(labels + 2 * rng.normal(size=n), 1)


def test_equals_copying_the_rows_of_drawn_users() -> None:
    users, labels, scores = sample(6, 60)
    draws = draw_users(6, 20, seed=3)
    aucs, uaucs = (figure(users, labels, scores, draws) for figure in (bootstrap_auc, bootstrap_uauc))
    for draw, value, per_user in zip(draws, aucs, uaucs, strict=True):
        copies = [np.flatnonzero(users == user) for user in range(6) for _ in range(draw[user])]
        names = np.repeat(np.arange(len(copies)), [len(c) for c in copies])  # each copy counts as a user of its own
        rows = np.concatenate(copies)
        np.testing.assert_allclose(value, roc_auc_score(labels[rows], scores[rows]))
        np.testing.assert_allclose(per_user, uauc(names, labels[rows], scores[rows])[0])


def test_draws_without_both_classes_have_no_value_and_are_left_out() -> None:
    users, labels, scores = np.array([0, 1]), np.array([0, 1]), np.array([0.0, 1.0])
    values = bootstrap_auc(users, labels, scores, np.array([[2, 0], [1, 1], [0, 2]]))
    np.testing.assert_array_equal(values, [np.nan, 1, np.nan])
    assert interval(values) == (1, 1)
    assert np.isnan(bootstrap_uauc(users, labels, scores, np.array([[1, 1]]))).all()
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_interval_covers_and_is_seeded() -> None:
    users, labels, scores = sample(100, 2000)
    low, high = interval(bootstrap_auc(users, labels, scores, draw_users(100, 400, seed=1)))
    assert low < roc_auc_score(labels, scores) < high
    assert 0.02 < high - low < 0.08
    assert (low, high) == interval(bootstrap_auc(users, labels, scores, draw_users(100, 400, seed=1)))


def test_three_thousand_rows_and_a_thousand_draws_are_quick() -> None:
    users, labels, scores = sample(150, 3000)
    begin = time.process_time()
    bootstrap_auc(users, labels, scores + np.random.default_rng(0).normal(size=3000), draw_users(150, 1000, seed=0))
    assert time.process_time() - begin < 3
