"""Ray as the tests want it."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def no_way_given() -> Iterator[None]:
    """Beside other tests, workers that give way to all would starve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield
