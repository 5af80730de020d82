"""What a like of a new item says: what likes of items that are called alike say."""

from pathlib import Path

import numpy as np
import pytest
from retriever_suite import EVEN, N_ITEMS, ODD, tastes
from safetensors.torch import load_file, save_file

from ccf_llm.cf.ease import EASE
from ccf_llm.cf.history_prior import HISTORY_FILE, HistoryPrior
from ccf_llm.cf.kinds import load_retriever
from ccf_llm.cf.l3ae import L3AE
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import EASEConfig, L3AEConfig, PriorConfig
from ccf_llm.errors import CCFError
from ccf_llm.io.integrity import MANIFEST

NEW = N_ITEMS
"""The item that nobody likes; its words are those of the odd ones."""


def words(*, new: bool) -> Words:
    """Odd items say one thing, even ones another, and each a little of its own."""
    vectors = 0.1 * np.random.default_rng(0).normal(size=(N_ITEMS + 1, 6)).astype(np.float32)
    vectors[1::2, 0] += 1
    vectors[2::2, 1] += 1
    vectors[NEW] = vectors[ODD[0]]
    vectors[0] = 0
    mask = np.zeros(N_ITEMS + 1, dtype=bool)
    mask[NEW] = True
    return Words(vectors, PriorConfig(words="sentences", k=2.0, l2=0.1), mask if new else None)


@pytest.fixture(scope="module", params=["ease", "l3ae"])
def model(request: pytest.FixtureRequest) -> EASE:
    kind, config = {"ease": (EASE, EASEConfig(l2=20.0, dim=6)), "l3ae": (L3AE, L3AEConfig(l2=20.0, dim=6))}[
        request.param
    ]
    return kind.fit(tastes(), config=config, words=words(new=True))


def test_who_likes_a_new_item_is_told_what_it_is_called_like(model: EASE) -> None:
    scores = model.scores(np.array([NEW]))
    odd, even = (scores[np.setdiff1d(of, [NEW]) - 1] for of in (ODD, EVEN))
    assert odd.mean() > 3 * abs(even.mean())
    assert set(model.top([np.array([NEW])], 5, [np.array([NEW])])[0]) <= set(ODD)
    assert not set(model.top([np.zeros(0, dtype=np.int64)], 5)[0]) <= set(ODD)  # what is popular


def test_it_adds_to_what_other_likes_say_and_to_the_vector(model: EASE) -> None:
    alone, other = np.array([NEW]), np.array([EVEN[0]])
    both = [np.array([EVEN[0], NEW])]
    np.testing.assert_allclose(model.scores_of(both)[0], model.scores(alone) + model.scores(other), atol=1e-5)
    vectors = model.history_vectors([alone, other, *both])
    np.testing.assert_allclose(vectors[2], vectors[0] + vectors[1], atol=1e-5)
    assert model.heard is not None
    lengths = np.linalg.norm(model.left, axis=1)
    assert np.linalg.norm(vectors[0]) == pytest.approx(lengths.mean(), rel=1e-4)


def test_what_was_passed_over_says_nothing_and_nothing_else_changes() -> None:
    config = EASEConfig(l2=20.0, dim=6)
    told, passed = (EASE.fit(tastes(), config=config, words=words(new=new)) for new in (True, False))
    np.testing.assert_array_equal(passed.scores(np.array([NEW])), passed.popularity)
    history = np.array([ODD[0], EVEN[1]])
    others = np.arange(N_ITEMS) != NEW - 1  # the new one's own vector is longer
    np.testing.assert_array_equal(told.scores(history)[others], passed.scores(history)[others])


def test_a_further_item_speaks_too_and_all_of_it_is_saved(model: EASE, tmp_path: Path) -> None:
    grown = model.with_items(1, words(new=True).vectors[NEW : NEW + 1])
    histories = [np.array([NEW + 1]), np.array([NEW])]
    ours, theirs = grown.scores_of(histories)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    grown.save(tmp_path / "cf")
    loaded = load_retriever(tmp_path / "cf")
    np.testing.assert_array_equal(loaded.scores_of(histories)[0], ours)
    path = tmp_path / "cf" / HISTORY_FILE
    (tmp_path / "cf" / MANIFEST).unlink()  # which would say that the file was changed
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "length"}, path)
    with pytest.raises(CCFError, match=r"history\.safetensors: does not hold what new items say"):
        load_retriever(tmp_path / "cf")
    path.unlink()  # as in what was saved before there was such a thing
    old = load_retriever(tmp_path / "cf")
    assert old.heard is None
    np.testing.assert_array_equal(old.scores(np.array([NEW])), old.popularity)


def test_the_map_is_a_ridge_regression_at_the_mean_length() -> None:
    told, counts = words(new=True), np.full(N_ITEMS, 1000)
    counts[NEW - 1] = 0
    added = np.random.default_rng(1).normal(size=(N_ITEMS, 2)).astype(np.float32)
    prior = HistoryPrior.fit(told, counts, added)
    known = np.arange(N_ITEMS) != NEW - 1
    table = np.column_stack([told.vectors[1:][known], np.ones(known.sum())])
    penalty = np.sqrt(0.1 * 1002 / 1000) * np.eye(7)[:6]
    found, *_ = np.linalg.lstsq(np.vstack([table, penalty]), np.vstack([added[known], np.zeros((6, 2))]), rcond=None)
    expected = np.append(told.vectors[NEW], 1) @ found
    length = np.linalg.norm(added[known], axis=1).mean()
    np.testing.assert_allclose(prior.said[NEW - 1], length * expected / np.linalg.norm(expected), rtol=1e-3)
    assert not prior.said[known].any()
