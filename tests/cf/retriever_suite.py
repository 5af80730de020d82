"""The tests that every retriever passes; a new one's are a class that names it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ccf_llm.cf.kinds import load_retriever
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError
from ccf_llm.io import mapped
from ccf_llm.io.mapped import stacked

N_ITEMS = 21
"""Odd and even items have their own public; item 1 is the most liked, item 21 nobody likes."""
ODD, EVEN = np.arange(1, N_ITEMS, 2), np.arange(2, N_ITEMS, 2)
NOBODY = np.zeros(0, dtype=np.int64)


def tastes(people: int = 240, seed: int = 0) -> csr_matrix:
    """(people + 1, 22) likes by code: each person likes about half the items of one parity, and 9 of 10 like item 1."""
    rng = np.random.default_rng(seed)
    likes = np.zeros((people + 1, N_ITEMS + 1), dtype=np.float32)
    for person in range(1, people + 1):
        likes[person, ODD if person % 2 else EVEN] = rng.integers(0, 2, len(ODD))
        likes[person, 1] = person % 10 > 0
    return csr_matrix(likes)


class RetrieverSuite:
    """What holds for everything that ranks a catalogue by likes; `model_type` and `config` say what is tested."""

    model_type: type[Retriever]
    config: RetrieverConfig
    dim: int
    """Width of its vectors."""
    weights = "cf.safetensors"
    """A file of its folder."""

    @classmethod
    def fit(cls, likes: csr_matrix, **options: Any) -> Retriever:
        return cls.model_type.fit(likes, **{"config": cls.config, **options})

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Retriever:
        return cls.fit(tastes())

    def test_ranks_a_stranger_by_history(self, model: Retriever) -> None:
        for liked, others in ((ODD[1:], EVEN), (EVEN, ODD[1:])):
            scores = model.scores(liked[:4])
            assert (scores.shape, scores.dtype) == ((N_ITEMS,), np.float32)
            assert scores[liked[4:] - 1].min() > scores[others - 1].max()

    def test_a_new_like_changes_the_scores_at_once(self, model: Retriever) -> None:
        before, after = model.scores(EVEN[:2]), model.scores(np.append(EVEN[:2], ODD[3]))
        assert (after - before)[ODD[4:] - 1].mean() > (after - before)[EVEN[4:] - 1].mean()

    def test_items_enter_once_by_their_last_place(self, model: Retriever) -> None:
        history = EVEN[:5]
        expected = model.scores(history)
        for same in (np.repeat(history, 2), np.append(history[[3, 1]], history), np.append(history, [0, N_ITEMS])):
            np.testing.assert_array_equal(model.scores(same), expected)

    def test_order_does_not_matter(self, model: Retriever) -> None:
        np.testing.assert_array_equal(model.scores(EVEN[4::-1]), model.scores(EVEN[:5]))

    def test_refuses_times_of_other_cells(self) -> None:
        with pytest.raises(CCFError, match=r"^times: are of other users and items than the likes; give like_times"):
            self.fit(tastes(), times=tastes(seed=1))

    def test_a_batch_has_the_scores_of_each(self, model: Retriever) -> None:
        histories = [EVEN[:3], NOBODY, ODD[:6], np.array([N_ITEMS])]
        expected = np.stack([model.scores(history) for history in histories])
        np.testing.assert_allclose(model.scores_of(histories), expected, rtol=1e-5, atol=1e-6)
        assert model.scores_of([]).shape == (0, N_ITEMS)

    def test_where_a_history_says_nothing_popularity_ranks(self, model: Retriever) -> None:
        popular = np.argsort(-tastes().sum(axis=0).A1[1:], kind="stable") + 1
        top = model.top([NOBODY, np.array([N_ITEMS]), np.array([0])], 10)
        np.testing.assert_array_equal(top, np.tile(popular[:10], (3, 1)))
        assert np.isfinite(model.scores(NOBODY)).all()

    def test_lists_are_the_best_scores_and_can_leave_out_what_was_seen(self, model: Retriever) -> None:
        histories = [EVEN[:4], ODD[:4]]
        whole = model.top(histories, N_ITEMS)
        assert [sorted(row) for row in whole.tolist()] == [list(range(1, N_ITEMS + 1))] * 2
        listed = np.take_along_axis(model.scores_of(histories), whole - 1, axis=1)
        assert (np.diff(listed, axis=1) <= 0).all()
        np.testing.assert_array_equal(model.top(histories, 5), whole[:, :5])
        unseen = model.top(histories, 5, seen=[whole[0, :3], NOBODY])
        np.testing.assert_array_equal(unseen, [whole[0, 3:8], whole[1, :5]])

    def test_where_all_but_two_were_seen_the_rest_of_the_list_is_code_0(self, model: Retriever) -> None:
        [row] = model.top([EVEN[:4]], 4, seen=[np.arange(3, N_ITEMS + 1)])
        assert sorted(row[:2].tolist()) == [1, 2]
        assert row[2:].tolist() == [0, 0]

    def test_saves_and_loads_to_equal_scores(self, model: Retriever, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        loaded = load_retriever(tmp_path / "cf")
        assert type(loaded) is self.model_type
        assert loaded.config == self.config
        np.testing.assert_array_equal(loaded.scores_of([EVEN[:3], NOBODY]), model.scores_of([EVEN[:3], NOBODY]))
        np.testing.assert_array_equal(loaded.top([ODD[:3]], 5), model.top([ODD[:3]], 5))

    def test_is_deterministic_and_the_order_of_people_does_not_matter(self, model: Retriever) -> None:
        likes = tastes()
        order = np.random.default_rng(1).permutation(likes.shape[0])
        for same in (likes, likes[order]):
            np.testing.assert_array_equal(self.fit(same).scores_of([EVEN[:3]]), model.scores_of([EVEN[:3]]))

    def test_likes_in_files_give_the_same_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mapped, "CELLS", 20)
        likes, times = tastes(80), tastes(80).astype(np.int64)
        times.data[:] = np.random.default_rng(0).integers(0, 9, times.nnz)
        one = self.fit(likes, times=times)
        other = self.fit(stacked([likes], tmp_path), times=stacked([times], tmp_path))
        histories = [EVEN[:3], ODD[:6], NOBODY]
        np.testing.assert_array_equal(one.scores_of(histories), other.scores_of(histories))
        assert list(tmp_path.iterdir()) == []

    def test_leaves_the_likes_as_they_were(self) -> None:
        likes = tastes()
        self.fit(likes)
        assert (likes != tastes()).nnz == 0

    def test_similar_puts_what_the_same_people_like_first(self, model: Retriever) -> None:
        for item, liked in ((4, EVEN), (5, ODD)):
            scores = model.similar(item)
            assert scores.shape == (N_ITEMS,)
            assert np.isneginf(scores[item - 1])
            first = np.argsort(-scores, kind="stable")[:3] + 1
            assert set(first) <= set(liked)

    def test_vectors_stand_for_items_and_histories(self, model: Retriever) -> None:
        items, people = model.item_vectors(), model.history_vectors([EVEN[:4], NOBODY])
        assert (items.shape, people.shape) == ((N_ITEMS, self.dim), (2, self.dim))
        assert (items.dtype, people.dtype) == (np.float32, np.float32)
        assert not people[1].any()
        assert not items[N_ITEMS - 1].any()
        products = items @ people[0]
        assert products[EVEN[4:] - 1].mean() > products[ODD - 1].mean()

    def test_knows_nothing_of_further_items(self, model: Retriever, tmp_path: Path) -> None:
        histories, n = [EVEN[:4], ODD[:2], NOBODY], N_ITEMS + 3
        more = model.with_items(3)
        assert (more.n_items, model.n_items) == (n, N_ITEMS)
        assert not more.popularity[N_ITEMS:].any()
        expected = model.scores_of(histories)
        # Item 21, which nobody likes either, says what nothing known of an item comes to.
        expected = np.concatenate([expected, np.repeat(expected[:, -1:], 3, axis=1)], axis=1)
        np.testing.assert_allclose(more.scores_of(histories), expected, rtol=1e-6, atol=1e-7)
        told = [np.append(history, [N_ITEMS + 1, n]) for history in histories]  # they say nothing in a history
        np.testing.assert_allclose(more.scores_of(told), expected, rtol=1e-6, atol=1e-7)
        assert sorted(more.top([EVEN[:4]], n)[0].tolist()) == list(range(1, n + 1))
        more.save(tmp_path / "cf")
        np.testing.assert_array_equal(load_retriever(tmp_path / "cf").scores_of(histories), more.scores_of(histories))
        np.testing.assert_array_equal(model.with_items(0).scores_of(histories), model.scores_of(histories))
        with pytest.raises(CCFError, match=r"^n: -1 further items; give 0 or more$"):
            model.with_items(-1)

    def test_further_items_have_vectors_of_zeros_and_no_likeness(self, model: Retriever) -> None:
        more = model.with_items(2)
        np.testing.assert_array_equal(more.item_vectors()[:N_ITEMS], model.item_vectors())
        assert not more.item_vectors()[N_ITEMS:].any()
        np.testing.assert_allclose(
            more.history_vectors([EVEN[:4], np.array([N_ITEMS + 1])]),
            model.history_vectors([EVEN[:4], NOBODY]),
            rtol=1e-5,
        )
        np.testing.assert_allclose(more.similar(4)[:N_ITEMS], model.similar(4), rtol=1e-5)
        assert not more.similar(4)[N_ITEMS:].any()
        assert not more.similar(N_ITEMS + 1)[:N_ITEMS].any()

    def test_refuses_what_cannot_be_ranked(self) -> None:
        with pytest.raises(CCFError, match=r"^likes: nobody likes anything.* lower like threshold$"):
            self.fit(csr_matrix((5, N_ITEMS + 1)))
        with pytest.raises(CCFError, match=r"^items: a catalogue of one item leaves nothing to rank"):
            self.fit(tastes()[:, :2])
        with pytest.raises(CCFError, match=r"^likes: a cell is not above 0"):
            self.fit(-1 * tastes())

    def test_refuses_codes_outside_the_catalogue(self, model: Retriever) -> None:
        for wrong in (22, -1):
            with pytest.raises(CCFError, match=rf"^history: item code {wrong} is outside 0..21"):
                model.scores(np.array([1, wrong]))
        with pytest.raises(CCFError, match=r"^history: item code 99 is outside 0..21"):
            model.top([EVEN], 3, seen=[np.array([99])])
        with pytest.raises(CCFError, match=r"^item: code 0 is outside 1..21"):
            model.similar(0)
        with pytest.raises(CCFError, match=r"^k: 22 items of a catalogue of 21; ask for 1 to 21$"):
            model.top([EVEN], 22)

    def test_two_items_are_enough(self) -> None:
        model = self.fit(csr_matrix([[0, 0, 0], [0, 1, 1], [0, 1, 0]]))
        assert np.isfinite(model.scores(np.array([1]))).all()
        assert model.top([np.array([1])], 1, seen=[np.array([1])]).tolist() == [[2]]

    def test_refuses_a_damaged_folder(self, model: Retriever, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        weights = tmp_path / "cf" / self.weights
        whole = weights.read_bytes()
        weights.write_bytes(whole[:100])
        with pytest.raises(CCFError, match=rf"{re.escape(weights.name)}: cut or damaged"):
            load_retriever(tmp_path / "cf")


def assert_recent_likes_count_more(model: Retriever, half_life: float) -> None:
    """The scores of `model`, which has this half-life, are sums over the likes of what each adds by itself."""
    history = EVEN[:4]
    alone = np.stack([model.scores(history[[place]]) for place in range(4)])
    counts = 0.5 ** (np.arange(4)[::-1] / half_life)
    np.testing.assert_allclose(model.scores(history), counts @ alone, atol=1e-5)
    assert not np.allclose(model.scores(history[::-1]), model.scores(history), atol=1e-3)
    products = model.history_vectors([history]) @ model.item_vectors().T
    np.testing.assert_allclose(products, model.scores_of([history]), atol=1e-5)


def codes(*values: int) -> Codes:
    return np.array(values, dtype=np.int64)
