from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccf_llm.evaluation import exposure

N_ITEMS = 7
some_lists = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=5), min_size=2, max_size=8)


def flat(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray, int]:
    row = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    return row, np.array([item for one in lists for item in one], dtype=np.int64), len(lists)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return 1 - float(a @ b / lengths) if lengths else 1.0


@settings(deadline=None)
@given(some_lists)
def test_figures_of_all_lists_equal_plain_loops(lists: list[list[int]]) -> None:
    _, codes, n_lists = flat(lists)
    shown = np.bincount(codes, minlength=N_ITEMS)
    pairs = [len(set(a) & set(b)) for a, b in combinations(lists, 2)]
    assert exposure.overlap(shown, n_lists) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert exposure.coverage(shown) == pytest.approx(len({item for one in lists for item in one}) / N_ITEMS)
    assert exposure.most_shown(shown, n_lists) == max(sum(i in one for one in lists) for i in range(N_ITEMS)) / n_lists
    gaps = sum(abs(int(a) - int(b)) for a in shown for b in shown)  # the mean difference, which Gini is half of
    expected = gaps / (2 * N_ITEMS * shown.sum()) if shown.sum() else np.nan
    assert exposure.gini(shown) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(some_lists, st.lists(st.integers(0, 9), min_size=N_ITEMS, max_size=N_ITEMS), st.integers(0, 10**6))
def test_figures_of_one_list_equal_plain_loops(lists: list[list[int]], liked: list[int], seed: int) -> None:
    rng, likes = np.random.default_rng(seed), np.array(liked)
    vectors = rng.normal(size=(N_ITEMS, 3)) * rng.integers(0, 2, (N_ITEMS, 1))  # some are zero
    order = sorted(range(N_ITEMS), key=lambda i: (-likes[i], i))
    tail = set(order[2:])  # a fifth of 7 items are the first two places, 0 and 1/7
    share = [(n + 1) / (likes.sum() + N_ITEMS) for n in liked]
    novelty = [np.mean([-np.log2(share[i]) for i in one]) if one else np.nan for one in lists]
    in_tail = [np.mean([i in tail for i in one]) if one else np.nan for one in lists]
    apart = [
        np.mean([cosine_distance(vectors[a], vectors[b]) for a, b in combinations(one, 2)]) if len(one) > 1 else np.nan
        for one in lists
    ]
    np.testing.assert_allclose(exposure.novelty(*flat(lists), likes), novelty)
    np.testing.assert_allclose(exposure.long_tail(*flat(lists), likes), in_tail)
    np.testing.assert_allclose(exposure.diversity(*flat(lists), vectors), apart, atol=1e-12)


def test_known_values() -> None:
    everyone_the_same, each_another = np.array([4, 4, 0, 0]), np.array([2, 2, 2, 2])
    assert exposure.gini(each_another) == 0
    assert exposure.gini(everyone_the_same) == 0.5
    assert exposure.overlap(everyone_the_same, 4) == 2  # all share both items
    assert np.isnan(exposure.overlap(np.array([1, 1]), 1))
    assert exposure.most_shown(everyone_the_same, 4) == 1
    assert exposure.most_shown(np.array([], dtype=np.int64), 4) == 0
    np.testing.assert_array_equal(exposure.by_popularity(np.array([1, 5, 5, 0])), [0.5, 0, 0.25, 0.75])
