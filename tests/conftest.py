"""Fixtures over the builders of `tiny`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.split import global_time_split
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.model.network import CCFNetwork

# How long an example takes says something of the machine, not of the code.
settings.register_profile("ccf-llm", deadline=None)
settings.load_profile("ccf-llm")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that no worker sits alone with one of them at the end.

    The tests of a file run in one worker (`--dist loadgroup`), and those of all Ray's files in one: clusters that start
    side by side on two cores take longer than Ray waits for them.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if "distributed" in item.path.parts else item.path.stem))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """On a busy machine, threads that wait for each other make tiny steps ten times slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama with a real tokenizer."""
    return tiny.write_llm(tmp_path_factory.mktemp("tiny-llm"))


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Gemma 3 with the same tokenizer, whose window is shorter than any prompt."""
    return tiny.write_llm(tmp_path_factory.mktemp("tiny-gemma"), window=24)


@pytest.fixture(scope="session")
def tiny_data() -> Dataset:
    """900 interactions of 30 users of two tastes, split by time."""
    return global_time_split(tiny.make_dataset(), 0.7, 0.15)


@pytest.fixture(scope="session")
def tiny_mf(tiny_data: Dataset) -> MF:
    """Fitted on `tiny_data`."""
    return tiny.fit_mf(tiny_data)


@pytest.fixture(scope="session")
def make_network(tiny_llm: Path, tiny_data: Dataset, tiny_mf: MF) -> Callable[..., CCFNetwork]:
    """`tiny.make_network` over the fixtures."""
    return partial(tiny.make_network, tiny_llm, tiny_data, tiny_mf)


@pytest.fixture
def tiny_run(tiny_llm: Path, tiny_data: Dataset, tmp_path: Path) -> RunConfig:
    """A whole run's settings; its data is saved in `tmp_path`."""
    tiny_data.save(tmp_path / "data")
    return check_config(tiny.run_values(tiny_llm, tmp_path), "tiny")
