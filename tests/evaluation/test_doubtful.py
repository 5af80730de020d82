from dataclasses import replace

import numpy as np

from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.comparison import Measured, compare_rows
from ccf_llm.evaluation.doubtful import doubtful, footnotes
from ccf_llm.evaluation.rating import evaluate


def rows(users: int, each: int) -> Rows:
    """So many users of so many rows, every other one a like."""
    none = np.zeros(0, dtype=np.int64)
    asked = Rows.for_candidates(none, np.ones(users * each, dtype=np.int64), user=1)
    labels = (np.arange(users * each) % 2 == 0).astype(np.int8)
    return replace(asked, users=np.repeat(np.arange(1, users + 1), each), labels=labels)


def test_one_row_a_user_leaves_nothing_to_put_in_order() -> None:
    found = doubtful(rows(40, 1), 10)
    assert found["uauc"] == "only 0 users have likes and dislikes"
    assert found["ndcg@10"] == "any order is right for 20 of 20 users, who have likes alone"
    assert (
        footnotes(found)[-1] == "* RECALL@10 says nothing here: it is 1 for 20 of 20 users, who have at most 10 rows."
    )


def test_figures_that_mean_something_are_not_marked() -> None:
    assert doubtful(rows(40, 12), 10) == {}
    assert list(doubtful(rows(40, 4), 10)) == ["recall@10"]
    assert list(doubtful(rows(4, 12), 10)) == ["uauc", "ndcg@10", "recall@10"]  # too few users


def test_results_and_tables_carry_the_marks() -> None:
    asked, counts = rows(40, 1), np.ones(41)
    scores = np.linspace(0, 1, 40).astype(np.float32)
    measured = evaluate(asked, {"mf": scores}, user_counts=counts, item_counts=counts, draws=5).to_json()
    assert set(measured["rows"]["doubtful"]) == {"uauc", "ndcg@10", "recall@10"}
    assert (
        "doubtful"
        not in evaluate(rows(40, 12), {"mf": np.zeros(480)}, user_counts=counts, item_counts=counts, draws=5).to_json()[
            "rows"
        ]
    )
    result = measured["models"]["mf"] | {"method": "mf", "cf": "mf", "llm": None, "seed": 0, "train_seconds": 1.0}
    result |= {"score_seconds": 1.0, "trainable": 1, "peak_mb": 1.0}
    table = compare_rows(
        asked, {"mf": {0: Measured(result, scores)}}, main="mf", baseline="mf", papers={}, about={}, draws=5
    )
    assert list(table["doubtful"]) == ["uauc"]
