"""Ray as the tests want it."""

from collections.abc import Iterator

import pytest
from filelock import FileLock


@pytest.fixture(scope="package", autouse=True)
def no_way_given() -> Iterator[None]:
    """Beside other tests, workers that give way to all would starve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="module", autouse=True)
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clusters that start side by side on two cores take longer than Ray waits for them."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield
