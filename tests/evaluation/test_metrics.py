import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import ndcg_score, roc_auc_score

from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc, calibration_error, log_loss, ndcg_at_k, recall_at_k, uauc, user_aucs

# Few distinct users and scores, so that ties and users with one class are common.
table = st.lists(st.tuples(st.integers(-2, 4), st.integers(0, 1), st.integers(-3, 3)), max_size=40)


def columns(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    users, labels, scores = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return users, labels, scores / 2


@given(table)
def test_uauc_equals_a_plain_loop(rows: list[tuple[int, int, int]]) -> None:
    users, labels, scores = columns(rows)
    expected = {}
    for user in np.unique(users):
        own = users == user
        if 0 < labels[own].sum() < own.sum():
            expected[user] = roc_auc_score(labels[own], scores[own])
    value, n_users = uauc(users, labels, scores)
    assert n_users == len(expected)
    np.testing.assert_allclose(value, np.mean(list(expected.values())) if expected else np.nan)
    for user, own_auc in zip(*user_aucs(users, labels, scores), strict=True):
        np.testing.assert_allclose(own_auc, expected.get(user, np.nan))


@given(table)
def test_auc_and_log_loss_equal_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    _, labels, scores = columns(rows)
    if 0 < labels.sum() < len(labels):
        assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
        assert log_loss(labels, scores) == pytest.approx(sklearn_log_loss(labels, 1 / (1 + np.exp(-scores))))
    else:
        assert np.isnan(auc(labels, scores))


@given(table, st.integers(1, 6))
def test_ndcg_equals_scikit_learn_user_by_user(rows: list[tuple[int, int, int]], k: int) -> None:
    users, labels, scores = columns(rows)
    expected = []
    for user in np.unique(users):
        own = users == user
        if labels[own].sum():
            single = own.sum() == 1  # scikit-learn refuses lists of one
            expected.append(1.0 if single else ndcg_score([labels[own]], [scores[own]], k=k))
    np.testing.assert_allclose(ndcg_at_k(users, labels, scores, k), np.mean(expected) if expected else np.nan)


def test_recall_by_hand() -> None:
    users = np.array([1, 1, 1, 2, 2, 3])
    labels = np.array([1, 0, 1, 0, 1, 0])
    assert recall_at_k(users, labels, [3.0, 2.0, 1.0, 2.0, 1.0, 0.0], 1) == pytest.approx((1 / 2 + 0) / 2)
    assert recall_at_k(users, labels, [3.0, 2.0, 1.0, 2.0, 1.0, 0.0], 10) == 1
    assert recall_at_k(users, labels, np.zeros(6), 1) == pytest.approx((1 / 3 + 1 / 2) / 2)  # expected value of a tie


@given(table)
def test_order_of_rows_does_not_matter(rows: list[tuple[int, int, int]]) -> None:
    users, labels, scores = columns(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    mixed = users[order], labels[order], scores[order]
    for metric in (uauc, ndcg_at_k, recall_at_k):
        np.testing.assert_allclose(metric(users, labels, scores), metric(*mixed))
    np.testing.assert_allclose(calibration_error(labels, scores), calibration_error(*mixed[1:]), atol=1e-12)


def test_calibration_error() -> None:
    labels = np.array([1, 0, 0, 0] * 30)
    assert calibration_error(labels, np.full(120, np.log(1 / 3))) == pytest.approx(0, abs=1e-9)
    assert calibration_error(labels, np.full(120, 0.0)) == pytest.approx(0.25)
    assert calibration_error(labels, np.where(labels > 0, 50.0, -50.0)) == pytest.approx(0, abs=1e-9)
    assert np.isnan(calibration_error([], []))


def test_large_log_odds_do_not_overflow() -> None:
    assert log_loss([1, 0], [1000.0, 1000.0]) == pytest.approx(500)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, -1], [0.0, 1.0], "labels: row 1 is -1.0; give 0 or 1"),
        ([0, 1], [0.0, np.nan], "scores: row 1 is nan; give finite"),
        ([0, 1], [0.0], r"scores: shape \(1,\) for labels"),
    ],
)
def test_refuses_what_it_cannot_measure(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(CCFError, match=message):
        auc(labels, scores)
