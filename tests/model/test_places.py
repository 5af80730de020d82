import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.data.rows import Rows
from ccf_llm.model.places import keep_places


def lists_of(*lengths: int) -> Rows:
    n, many = sum(lengths), len(lengths)
    histories = [np.ones(k + 1, dtype=np.int64) for k in range(many)]
    each, items = np.array(lengths, dtype=np.int64), np.arange(1, n + 1)
    return Rows.for_lists(np.arange(1, many + 1), histories, each, items, np.zeros(n, dtype=bool))


def order(scores: np.ndarray) -> list[int]:
    return np.argsort(-scores, kind="stable").tolist()


def test_known_items_change_places_and_unmet_ones_stay() -> None:
    retriever = np.array([5, 4, 3, 2, 1], dtype=np.float32)
    scores = np.array([0, 9, 1, -9, 2], dtype=np.float32)
    unmet = np.array([False, True, False, True, False])
    placed = keep_places(scores, retriever, unmet, lists_of(5))
    assert order(placed) == [4, 1, 2, 3, 0]
    np.testing.assert_array_equal(placed[~unmet], scores[~unmet])


@given(st.data())
def test_of_any_lists(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    n = sum(lengths)
    numbers = st.lists(st.integers(-50, 50), min_size=n, max_size=n, unique=True)
    scores, retriever = (np.array(data.draw(numbers), dtype=np.float32) for _ in range(2))
    unmet = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    placed = keep_places(scores, retriever, unmet, lists_of(*lengths))
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        one = slice(end - length, end)
        by_retriever, by_score = order(retriever[one]), order(placed[one])
        fresh = unmet[one]
        assert [item if fresh[item] else -1 for item in by_retriever] == [i if fresh[i] else -1 for i in by_score]
        known = [item for item in by_score if not fresh[item]]
        assert known == sorted(known, key=lambda item: -scores[one][item])


@pytest.mark.parametrize("unmet", [True, False])
def test_all_of_a_kind(unmet: bool) -> None:
    scores, retriever = np.array([1, 2], dtype=np.float32), np.array([2, 1], dtype=np.float32)
    placed = keep_places(scores, retriever, np.array([unmet, unmet]), lists_of(2))
    np.testing.assert_array_equal(placed, retriever if unmet else scores)


def test_nothing() -> None:
    nothing = np.zeros(0, dtype=np.float32)
    assert len(keep_places(nothing, nothing, np.zeros(0, dtype=bool), lists_of())) == 0
