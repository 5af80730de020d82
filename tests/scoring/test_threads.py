"""Any thread may ask a model; each gets what it would get alone."""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
import torch

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.recommend.recommender import Recommender

THREADS = 4


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def saved(
    request: pytest.FixtureRequest,
    make_network: Callable[..., CCFNetwork],
    tiny_data: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A saved model that computes in this type."""
    folder = tmp_path_factory.mktemp("threads") / "model"
    info = ModelInfo(details=("genres",), dtype=request.param)
    CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, info).save(folder)
    return folder


def at_once(calls: list[Callable[[], pl.DataFrame]]) -> list[pl.DataFrame]:
    """What the calls return, each begun in a thread of its own once all threads are there."""
    barrier = threading.Barrier(len(calls))

    def begin(call: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        torch.set_num_threads(1)
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # as often as they can, they come between each other
        try:
            return list(pool.map(begin, calls))
        finally:
            sys.setswitchinterval(interval)


def scoring(model: CCFLLM, data: Dataset, alike: bool) -> list[Callable[[], pl.DataFrame]]:
    """The same question from every thread, or one of its own from each."""
    pairs = [
        pl.DataFrame({"user_id": [f"u{1 + (0 if alike else n)}"] * 6, "item_id": [f"i{i}" for i in range(3, 9)]})
        for n in range(THREADS)
    ]
    return [lambda mine=mine: model.score(mine, data) for mine in pairs]  # type: ignore[misc]


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "different"])
def test_threads_score_as_one_does(saved: Path, tiny_data: Dataset, alike: bool) -> None:
    expected = [call() for call in scoring(CCFLLM.load(saved), tiny_data, alike)]
    fresh = CCFLLM.load(saved)
    found = at_once(scoring(fresh, tiny_data, alike))
    assert [frame["score"].to_list() for frame in found] == [frame["score"].to_list() for frame in expected]
    assert fresh.scorer.cache is not None
    assert fresh.scorer.cache.misses == (1 if alike else THREADS)
    assert fresh.scorer.cache.hits == THREADS - fresh.scorer.cache.misses


def test_a_model_still_in_training_mode_is_left_in_it(saved: Path, tiny_data: Dataset) -> None:
    expected = [call() for call in scoring(CCFLLM.load(saved), tiny_data, alike=False)]
    model = CCFLLM.load(saved)
    model.network.train()
    found = at_once(scoring(model, tiny_data, alike=False))
    assert [frame["score"].to_list() for frame in found] == [frame["score"].to_list() for frame in expected]
    assert model.network.training
    assert model.network.cf.training


def test_threads_recommend_as_one_does(saved: Path, tiny_data: Dataset) -> None:
    early = tiny.early(tiny_data)

    def calls(model: CCFLLM) -> list[Callable[[], pl.DataFrame]]:
        recommender = Recommender(model, early, retrieve=8)
        users = [[user] for user in early.user_vocabulary.ids[:THREADS]]
        return [lambda mine=mine: recommender.recommend(mine, 5) for mine in users]  # type: ignore[misc]

    expected = [call() for call in calls(CCFLLM.load(saved))]
    found = at_once(calls(CCFLLM.load(saved)))
    assert all(mine.equals(other) for mine, other in zip(found, expected, strict=True))


def test_models_over_one_language_model_take_turns(saved: Path, tiny_data: Dataset) -> None:
    new = pl.DataFrame({"item_id": ["new"], "title": ["Night"], "genres": ["drama"]})
    first = CCFLLM.load(saved)
    expected = [model.score_rows(tiny_data.rows("test").take(slice(0, 8))) for model in (first, first.with_items(new))]
    first = CCFLLM.load(saved)
    models = [first, first.with_items(new)]
    found = at_once(
        [lambda m=m: pl.DataFrame({"score": m.score_rows(tiny_data.rows("test").take(slice(0, 8)))}) for m in models]  # type: ignore[misc]
    )
    assert [frame["score"].to_list() for frame in found] == [scores.tolist() for scores in expected]
