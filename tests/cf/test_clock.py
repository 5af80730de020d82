"""What a moment says of items."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ccf_llm.cf.clock import DAY, YEAR, Clock

NOW = 1_000_000_000


@pytest.fixture
def clock() -> Clock:
    """Item 1 was liked 400 and 10 days ago, item 2 now, item 3 never."""
    seconds = [NOW - 400 * DAY, NOW - 10 * DAY, NOW]
    return Clock.of(csr_matrix((seconds, ([1, 2, 1], [1, 1, 2])), shape=(3, 4), dtype=np.int64))


def test_likes_are_counted_by_how_long_ago_they_were(clock: Clock) -> None:
    assert clock.lately.tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]]
    np.testing.assert_allclose(clock.first, [np.nan, 400, 0, np.nan])
    np.testing.assert_allclose(clock.last, [np.nan, 10, 0, np.nan])
    assert clock.now[0] == pytest.approx(1970 + NOW / YEAR)


def test_features_are_of_items_and_years_are_told_as_ages(clock: Clock) -> None:
    items = np.array([3, 1])
    plain = clock.columns(items, None)
    assert plain["days since the first like"].tolist()[1] == 400
    assert np.isnan(plain["days since the first like"][0])
    np.testing.assert_allclose(plain["likes of the last 30 days"], np.log1p([0, 1]))
    told = clock.columns(items, np.array([np.nan, 1990, 2000, 2001], dtype=np.float32))
    assert told.keys() - plain.keys() == {"years ago"}
    np.testing.assert_allclose(told["years ago"], [0.7, 11.7], atol=0.05)
