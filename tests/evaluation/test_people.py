"""Figures of groups of users."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ccf_llm.data.dataset import Dataset
from ccf_llm.evaluation import Known, evaluate, evaluate_lists, top_lists
from ccf_llm.evaluation.bootstrap import bootstrap_auc, bootstrap_group_auc, draw_users
from ccf_llm.evaluation.people import LEAST, OTHER, groups_by, people_of
from tiny import random_rows

USERS, ITEMS = [f"u{n:02}" for n in range(60)], [f"i{n:02}" for n in range(30)]
PEOPLE = pl.DataFrame(
    {
        "user_id": USERS,
        "taste": ["even", "odd"] * 30,
        "note": [f"words of {user}" for user in USERS],
    }
)


def test_words_stand_by_code_and_none_that_looks_personal() -> None:
    users = pl.DataFrame(
        {
            "user_id": ["a", "c", "z"],
            "age": ["34", "", "8"],
            "zip_code": ["1", "2", "3"],
            "contact": ["", "", "me@example.org"],
            "gender": ["F", "M", "x"],
        }
    )
    rows = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": ["1"] * 3, "label": [1] * 3, "timestamp": [1] * 3})
    dataset = Dataset.from_frames(rows, pl.DataFrame({"item_id": ["1"], "title": ["One"]}), users=users)
    people = people_of(dataset, dataset.user_vocabulary)
    assert people is not None
    assert people.rows() == [
        (None, None, None), ("a", "in their thirties", "female"), ("b", None, None), ("c", "", "male"),
    ]  # fmt: skip
    assert people_of(replace(dataset, users=users.select("user_id", "zip_code")), dataset.user_vocabulary) is None


def test_small_groups_are_together_and_no_figure_is_of_few() -> None:
    words = pl.Series(["a"] * 30 + ["b"] * 25 + ["c"] * 12 + [None] * 10 + ["d"] * 50)
    measured = np.arange(127) < 120
    groups = groups_by(words, measured)
    assert groups is not None
    assert groups.names == ["d", "a", "b", OTHER]
    assert groups.members.sum(0).tolist() == [43, 30, 25, 22]
    assert (groups.codes[~measured] == 4).all()
    fewer = groups_by(words, measured & (np.arange(127) > 2) & ~np.isin(np.arange(127), (55, 56, 57)))
    assert fewer is not None
    assert fewer.names == ["d", "a", "b"]  # and 19 others
    assert groups_by(pl.Series(["a"] * 60 + ["b"] * (LEAST - 1)), np.ones(79, dtype=bool)) is None
    assert groups_by(PEOPLE["note"], np.ones(60, dtype=bool)) is None


def test_auc_of_groups_is_that_of_their_rows_and_of_all_others() -> None:
    rng = np.random.default_rng(0)
    users, labels, groups = rng.integers(0, 30, 400), rng.integers(0, 2, 400), np.arange(30) % 3
    scores, draws = np.round(labels + 2 * rng.normal(size=400), 1), draw_users(30, 20, seed=1)
    within, without = bootstrap_group_auc(users, labels, scores, draws, groups)
    for group in range(3):
        for found, rows in ((within, groups[users] == group), (without, groups[users] != group)):
            np.testing.assert_allclose(
                found[:, group], bootstrap_auc(users[rows], labels[rows], scores[rows], draws), rtol=1e-12
            )


@pytest.fixture(scope="module")
def ranked() -> dict[str, Any]:
    """Lists that find more for users of even number."""
    rng = np.random.default_rng(0)
    targets = rng.random((60, 30)) < 0.2
    targets[:, 0] = True
    targets[-1] = False  # no target, so no figure
    skill = np.where(np.arange(60) % 2 == 0, 3.0, 0.0)[:, None]
    lists = top_lists(
        "m", USERS, ITEMS, skill * targets + rng.normal(size=(60, 30)), seen=np.zeros((60, 30)), targets=targets
    )
    known = Known(popularity=pl.DataFrame({"item_id": ITEMS, "likes": range(30)}), people=PEOPLE)
    found: dict[str, Any] = json.loads(json.dumps(evaluate_lists(lists, known, draws=200), allow_nan=False))
    return found


def test_lists_that_serve_a_group_better_are_seen_to(ranked: dict[str, Any]) -> None:
    model = ranked["models"]["m"]
    assert model["people"].keys() == {"taste"}
    even, odd = model["people"]["taste"]["even"], model["people"]["taste"]["odd"]
    assert (even["users"], odd["users"], ranked["lists"]["least_people"]) == (30, 29, LEAST)
    assert (30 * even["ndcg@10"] + 29 * odd["ndcg@10"]) / 59 == pytest.approx(model["ndcg@10"])
    assert even["rest"] == pytest.approx(even["ndcg@10"] - odd["ndcg@10"])
    assert even["ndcg@10_ci"][0] < even["ndcg@10"] < even["ndcg@10_ci"][1]
    assert 0 < even["rest_ci"][0] < even["rest"] < even["rest_ci"][1]
    assert odd["rest_ci"] == pytest.approx([-end for end in reversed(even["rest_ci"])])
    assert 0 < even["popular"] < 1


def test_rows_of_a_group_that_is_scored_better_are_seen_to() -> None:
    rng = np.random.default_rng(0)
    rows = random_rows(rng, 1200, users=60, histories=[0, 3])
    noise = rng.normal(size=1200)
    scores = {"m": np.where(rows.users % 2 == 0, 2.0, 0.0) * (rows.labels - 0.5) + noise, "all": noise + 9}
    people = pl.concat([PEOPLE.clear(1), PEOPLE]).select("user_id", "taste")
    likes = np.array([0, *range(10)])
    found = evaluate(rows, scores, user_counts=np.arange(61), item_counts=likes, people=people, draws=200).to_json()
    odd, even = (found["models"]["m"]["people"]["taste"][name] for name in ("even", "odd"))  # code 1 is the first user
    mine = rows.users % 2 == 0
    assert even["auc"] == pytest.approx(roc_auc_score(rows.labels[mine], scores["m"][mine]))
    assert even["rest"] == pytest.approx(even["auc"] - odd["auc"])
    assert 0 < even["rest_ci"][0] < even["rest"] < even["rest_ci"][1]
    said_yes = Counter((rows.items[mine & (scores["m"] > 0)] >= 9).tolist())
    assert even["popular"] == pytest.approx(said_yes[True] / said_yes.total())
    whole = evaluate(rows, scores, user_counts=np.arange(61), item_counts=likes, draws=200).to_json()
    assert "people" not in whole["models"]["m"]
    assert whole["models"]["all"]["auc_ci"] == found["models"]["all"]["auc_ci"]
