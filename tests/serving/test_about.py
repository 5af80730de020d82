"""What is known of people, over HTTP."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.validate import check_users
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import DataRecord, ModelInfo

ITEMS = [f"i{n}" for n in range(1, 9)]


@pytest.fixture(scope="module")
def told_model(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A saved model that reads ages; the data set knows the age of `u1`."""
    folder = tmp_path_factory.mktemp("told")
    users = check_users(pl.DataFrame({"user_id": ["u1"], "age": [34]}))
    replace(tiny.early(tiny_data), users=users).save(folder / "data")
    data = DataRecord(name="early", source=str(folder / "data"))
    info = ModelInfo(details=("genres",), user_details=("age",), dtype="float32", data=data)
    CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, info).save(folder / "model")
    return folder / "model"


@pytest.fixture
def client(make_client: Callable[..., TestClient], told_model: Path) -> TestClient:
    return make_client(told_model, deadline_ms=60_000)


def scores(client: TestClient, **ask: Any) -> list[float]:
    response = client.post("/v1/score", json={"item_ids": ITEMS} | ask)
    assert response.status_code == 200, response.text
    return [item["score"] for item in response.json()["scores"]]


def test_what_is_known_moves_scores(client: TestClient) -> None:
    nothing, young, old = (scores(client, about=about) for about in ({}, {"age": 15}, {"age": "71"}))
    assert np.abs(np.subtract(young, nothing)).max() > 1e-3
    assert np.abs(np.subtract(young, old)).max() > 1e-3
    np.testing.assert_allclose(scores(client, about={"age": 79.0}), old, atol=1e-5)  # of one decade
    user = scores(client, user_id="u1")
    np.testing.assert_allclose(scores(client, user_id="u1", about={"age": 34}), user, atol=1e-5)
    assert np.abs(np.subtract(scores(client, user_id="u1", about={"age": 15}), user)).max() > 1e-3


def test_recommendations_and_reasons_read_it(client: TestClient) -> None:
    ask = {"history": ["i1", "i2"], "about": {"age": 15}}
    answer = client.post("/v1/recommend", json=ask | {"k": 3}).json()
    assert answer["order"] == "fused"
    shown = [item["item_id"] for item in answer["items"]]
    known = dict(zip(ITEMS, scores(client, **ask), strict=True))
    for item in answer["items"]:
        assert item["item_id"] not in known or item["score"] == pytest.approx(known[item["item_id"]], abs=1e-5)
    assert client.post("/v1/explain", json=ask | {"item_ids": shown}).status_code == 200


@pytest.mark.parametrize(
    ("about", "status", "words"),
    [
        ({"zip_code": "85711"}, 404, "about: 'zip_code' is not told; this model reads age; leave it out"),
        ({"age": [3]}, 422, "about.age"),
        ({"age": "x" * 501}, 422, "about.age"),
        ({str(n): 1 for n in range(21)}, 422, "about: "),
    ],
)
def test_what_cannot_be_told_is_refused(client: TestClient, about: dict[str, Any], status: int, words: str) -> None:
    response = client.post("/v1/recommend", json={"about": about})
    assert (response.status_code, words in response.text) == (status, True), response.text
