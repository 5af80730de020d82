import json

import numpy as np
import pytest

from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation import evaluate
from ccf_llm.evaluation.slices import history_slices, slices
from tiny import random_rows


@pytest.fixture(scope="module")
def rows() -> Rows:
    return random_rows(np.random.default_rng(0), 400, users=20, histories=[0, 1, 5, 6, 20, 21, 50, 51])


COUNTS = {"user_counts": np.arange(21), "item_counts": np.full(11, 5)}


def test_slices_cover_every_row_once(rows: Rows) -> None:
    masks = slices(rows, **COUNTS, warm_threshold=3)
    np.testing.assert_array_equal(masks["warm"], rows.users >= 3)
    np.testing.assert_array_equal(masks["cold"], rows.users < 3)
    assert list(history_slices()) == ["history 0", "history 1-5", "history 6-20", "history 21-50", "history >50"]
    assert [int(masks[name].sum()) for name in history_slices()] == [50, 100, 100, 100, 50]
    cold_items = slices(rows, user_counts=np.full(21, 9), item_counts=np.zeros(11), warm_threshold=1)
    assert cold_items["cold"].all()


def test_every_figure_of_every_method_survives_json(rows: Rows) -> None:
    rng = np.random.default_rng(1)
    good = rows.labels + rng.normal(size=len(rows))
    scores = {"good": good, "bad": rng.normal(size=len(rows)), "same": good}
    result = json.loads(
        json.dumps(evaluate(rows, scores, **COUNTS, baseline="bad", draws=200).to_json(), allow_nan=False)
    )
    figures = result["models"]["good"]
    assert figures.keys() >= {"auc", "uauc", "uauc_users", "log_loss", "calibration_error", "ndcg@10", "recall@10"}
    assert figures["auc_ci"][0] < figures["auc"] < figures["auc_ci"][1]
    ahead = figures["diff"]["bad"]
    assert ahead["auc"] == pytest.approx(figures["auc"] - result["models"]["bad"]["auc"])
    assert 0 < ahead["auc_ci"][0] < ahead["auc"] < ahead["auc_ci"][1]
    assert figures["diff"]["same"] == {"auc": 0, "auc_ci": [0, 0], "uauc": 0, "uauc_ci": [0, 0]}
    assert figures["slices"].keys() == result["rows"]["slices"].keys() == {"warm", "cold", *history_slices()}
    assert result["rows"]["baseline"] == "bad"


def test_is_seeded(rows: Rows) -> None:
    scores = {"a": np.random.default_rng(2).normal(size=len(rows))}
    first, again, other = (evaluate(rows, scores, **COUNTS, seed=seed, draws=50) for seed in (0, 0, 1))
    assert first == again
    assert first.models["a"]["auc_ci"] != other.models["a"]["auc_ci"]


def test_figures_that_are_not_defined_are_null(rows: Rows) -> None:
    liked = rows.take(rows.labels == 1)
    figures = evaluate(liked, {"a": np.zeros(len(liked))}, **COUNTS, draws=20).to_json()["models"]["a"]
    assert figures["auc"] is None
    assert figures["auc_ci"] == [None, None]
    assert figures["uauc_users"] == 0


def test_refuses_what_it_cannot_evaluate(rows: Rows) -> None:
    zeros = np.zeros(len(rows))
    with pytest.raises(CCFError, match="baseline: 'mf' is not among the methods a"):
        evaluate(rows, {"a": zeros}, **COUNTS, baseline="mf")
    with pytest.raises(CCFError, match="scores of a: need 400 finite values"):
        evaluate(rows, {"a": zeros[1:]}, **COUNTS)
    with pytest.raises(CCFError, match="nothing to evaluate"):
        evaluate(rows, {}, **COUNTS)
    with pytest.raises(CCFError, match="labels: row 0 is -1"):
        evaluate(Rows.for_candidates(np.array([1]), np.array([2])), {"a": np.zeros(1)}, **COUNTS)
