from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccf_llm.prompts.budget import HistoryBudget

lengths = st.lists(st.integers(1, 30), max_size=60).map(lambda sizes: np.array(sizes, dtype=np.int64))


@given(sizes=lengths, items=st.integers(0, 20), tokens=st.integers(0, 200), step=st.integers(1, 12))
def test_both_limits_hold_and_the_newest_stay(sizes: np.ndarray, items: int, tokens: int, step: int) -> None:
    n = len(sizes)
    start = HistoryBudget(items=items, tokens=tokens, step=step).window_start(n, sizes)
    exact = HistoryBudget(items=items, tokens=tokens, step=1).window_start(n, sizes)
    assert 0 <= exact <= start <= n
    assert n - start <= items
    assert sizes[start:].sum() <= tokens
    assert start % step == 0 or start == exact
    assert (start < n) == (exact < n)  # anchoring never drops the whole history
    if exact > 0:  # one more like would break a limit
        assert n - exact + 1 > items or sizes[exact - 1 :].sum() > tokens


@given(n=st.integers(0, 80), items=st.integers(1, 20))
def test_step_1_is_the_last_likes_exactly(n: int, items: int) -> None:
    budget = HistoryBudget(items=items, tokens=10_000, step=1)
    assert budget.window_start(n, np.full(n, 3)) == max(0, n - items)


def test_the_start_moves_in_steps() -> None:
    budget = HistoryBudget(items=10, tokens=10_000, step=5)
    starts = [budget.window_start(n, np.full(n, 3)) for n in range(31)]
    assert starts[:11] == [0] * 11
    assert starts[11:16] == [5] * 5
    assert starts[16:21] == [10] * 5
    assert all(later >= earlier for earlier, later in pairwise(starts))


def test_the_window_depends_on_the_likes_so_far_only() -> None:
    sizes = np.arange(1, 41)
    budget = HistoryBudget(items=12, tokens=150, step=4)
    assert [budget.window_start(n, sizes) for n in range(40)] == [budget.window_start(n, sizes[:n]) for n in range(40)]
