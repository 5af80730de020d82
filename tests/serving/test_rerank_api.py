"""Other people's retrievers use the model as their reranker."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from ccf_llm.data.dataset import Dataset
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Recommender
from live import LiveServer

DOCUMENTS = ["i9", "i2", "i14", "i5", "i20"]


def rerank(client: TestClient, **ask: Any) -> dict[str, Any]:
    response = client.post("/v1/rerank", json={"documents": DOCUMENTS} | ask)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def order(answer: dict[str, Any]) -> list[int]:
    return [result["index"] for result in answer["results"]]


def test_the_form_of_jina(live: LiveServer) -> None:
    """https://api.jina.ai/v1/rerank"""
    ask = {
        "model": "jina-reranker-v2-base-multilingual",
        "query": "i1\ni3",
        "top_n": 3,
        "documents": DOCUMENTS,
        "return_documents": True,
        "truncation": True,
    }
    headers = {"Authorization": "Bearer jina_0123", "Accept": "application/json"}
    with httpx.Client(base_url=live.url, headers=headers, timeout=60) as client:
        answer = client.post("/v1/rerank", json=ask).raise_for_status().json()
    assert answer["usage"] == {"total_tokens": 0}
    assert isinstance(answer["model"], str)
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    for result in answer["results"]:
        assert result["document"]["id"] == DOCUMENTS[result["index"]]
        assert result["document"]["text"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_the_form_of_cohere(live: LiveServer, path: str) -> None:
    """https://api.cohere.com/v2/rerank, and v1, whose documents may be objects."""
    documents = DOCUMENTS if path.startswith("/v2") else [{"text": item} for item in DOCUMENTS]
    ask = {"model": "rerank-v3.5", "query": "i1, i3", "documents": documents, "top_n": 3, "max_tokens_per_doc": 4096}
    headers = {"Authorization": "bearer 0123", "X-Client-Name": "my-app"}
    with httpx.Client(base_url=live.url, headers=headers, timeout=60) as client:
        answer = client.post(path, json=ask).raise_for_status().json()
    assert len({result["index"] for result in answer["results"]}) == 3
    assert all(0 <= result["relevance_score"] <= 1 for result in answer["results"])


def test_the_form_of_gorse(live: LiveServer) -> None:
    """Its template may write an id a line; `top_n` is left out."""
    ask = {"model": "", "query": "i1\ni3\n", "documents": DOCUMENTS}
    answer = httpx.post(f"{live.url}/v1/rerank", json=ask, headers={"Authorization": "Bearer x"}, timeout=60).json()
    assert sorted(order(answer)) == [0, 1, 2, 3, 4]
    assert answer["history"] == 2


def test_the_order_and_the_scores_are_those_of_the_recommender(client: TestClient, served_model: Path) -> None:
    recommender = Recommender(CCFLLM.load(served_model), Dataset.load(served_model.parent / "data"))
    expected = recommender.rerank(None, DOCUMENTS, user="u4")
    answer = rerank(client, query={"user_id": "u4"})
    assert [DOCUMENTS[i] for i in order(answer)] == expected["item_id"].to_list()
    np.testing.assert_allclose([r["score"] for r in answer["results"]], expected["score"], atol=1e-5)
    np.testing.assert_allclose([r["relevance_score"] for r in answer["results"]], expected["probability"], atol=1e-5)
    assert {r["document"] for r in answer["results"]} == {None}
    assert not answer["degraded"]


def test_a_person_may_be_named_in_several_ways(client: TestClient) -> None:
    titles = {i["item_id"]: i["title"] for i in client.get("/v1/items?query=(19&limit=100").json()["items"]}
    first, second = titles["i1"], titles["i3"]
    expected = rerank(client, query={"history": ["i1", "i3"]})["results"]
    for query in (
        *("i1,i3", "i1\ni3", " i1 , i3,", ["i1", "i3"], [first, second]),
        *(f"{first}\n{second.upper()}", f"{first}, i3", f"i1,{second}"),
    ):
        assert rerank(client, query=query)["results"] == expected, query
    assert rerank(client, query="u4")["results"] == rerank(client, query={"user_id": "u4"})["results"]
    nobody = rerank(client, query={})
    assert nobody["history"] == 0
    assert rerank(client, query="")["results"] == rerank(client, query={"user_id": "?"})["results"] == nobody["results"]


def test_a_text_finds_who_is_known_by_events_alone(client: TestClient) -> None:
    for item in ("i1", "i3"):
        event = {"key": f"{item} of ana", "user_id": "ana", "item_id": item, "kind": "like"}
        assert client.post("/v1/events", json=event).status_code == 201
    assert rerank(client, query="ana")["results"] == rerank(client, query=["i1", "i3"])["results"]
    client.delete("/v1/users/ana")
    assert rerank(client, query="ana")["history"] == 0


def test_a_title_with_a_comma_is_one(
    make_client: Callable[..., TestClient], served_model: Path, tmp_path: Path
) -> None:
    model = CCFLLM.load(served_model)
    model.items = model.items.with_columns(title=model.items["title"].scatter(0, "Red, Green, The (1971)"))
    model.save(tmp_path / "model")
    client = make_client(tmp_path / "model", deadline_ms=60_000)
    expected = rerank(client, query=["i1", "i3"])["results"]
    for query in ("Red, Green, The (1971), i3", "The Red, Green (1971),i3", "Red, Green, The (1971)\ni3"):
        assert rerank(client, query=query)["results"] == expected, query


def test_documents_may_be_ids_titles_or_both(client: TestClient) -> None:
    titles = {i["item_id"]: i["title"] for i in client.get("/v1/items?query=(19&limit=100").json()["items"]}
    expected = rerank(client, query="i1,i3")["results"]
    for form in (
        lambda item: {"id": item},
        lambda item: titles[item],
        lambda item: {"text": titles[item], "url": "https://example.org"},
        lambda item: {"id": item, "text": "whatever it is called there"},
        lambda item: {"id": f"their {item}", "text": titles[item]},
    ):
        assert rerank(client, query="i1,i3", documents=[form(item) for item in DOCUMENTS])["results"] == expected
    twice = rerank(client, query="i1,i3", documents=["i9", "i9"])["results"]
    assert [result["index"] for result in twice] == [0, 1]


def test_past_the_deadline_the_scores_are_those_of_cf(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    over, plain = threading.Event(), CCFLLM.score_rows
    monkeypatch.setattr(CCFLLM, "score_rows", lambda *a, **k: [over.wait(30), plain(*a, **k)][1])
    late = rerank(client, query="i1,i3", deadline_ms=100)
    over.set()
    assert late["degraded"]
    by_cf = client.post("/v1/recommend", json={"history": ["i1", "i3"], "order": "cf", "candidates": DOCUMENTS}).json()
    assert [DOCUMENTS[i] for i in order(late)] == [item["item_id"] for item in by_cf["items"]]
    assert [r["score"] for r in late["results"]] == pytest.approx([item["score"] for item in by_cf["items"]], abs=1e-5)


@pytest.mark.parametrize(
    ("ask", "status", "detail"),
    [
        ({"query": "i1", "documents": ["i2", "no such film"]}, 404, "documents.1: 'no such film' is no item's id or"),
        ({"query": "i1", "documents": [{"id": "x", "text": "y"}]}, 404, "documents.0: 'x' is no item's id or title"),
        ({"query": "i1", "documents": [{}]}, 404, "documents.0: '' is no item's id or title"),
        ({"query": "i1", "documents": ["i2 "]}, 404, "documents.0: 'i2 ' is no item's id or title; did you mean 'i2'?"),
        ({"query": "What is the capital?"}, 404, "query: 'What is the capital?' is no item's id or title; GET /v1/i"),
        ({"query": "i1, " + "x" * 100}, 404, f"query: '{'x' * 60}...' is no item's"),
        ({"query": ["i1", "no"]}, 404, "query.1: 'no' is no item's id or title"),
        ({"query": {"history": ["no"]}}, 404, "history: no item 'no'"),
        ({"query": {"user": "u1"}}, 422, "query."),
        ({"query": "i1", "documents": []}, 422, "documents: "),
        ({"query": "i1", "documents": ["i1"] * 201}, 422, "documents: "),
        ({"query": "i1", "top_n": 0}, 422, "top_n: Input should be greater than or equal to 1"),
        ({"documents": ["i1"]}, 422, "query: Field required"),
        ({"query": "a\0b"}, 422, "query."),
    ],
)
def test_what_cannot_be_ranked_is_one_line(client: TestClient, ask: dict[str, Any], status: int, detail: str) -> None:
    response = client.post("/v1/rerank", json={"documents": DOCUMENTS} | ask)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].startswith(detail)
    assert "\n" not in response.json()["detail"]


def test_keys_are_taken_in_the_form_of_rerankers_too(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_keys=frozenset(["one"]), deadline_ms=60_000)
    body = {"query": "i1", "documents": DOCUMENTS}
    for path in ("/v1/rerank", "/v2/rerank"):
        assert client.post(path, json=body).status_code == 401
        assert client.post(path, json=body, headers={"Authorization": "Bearer two"}).status_code == 401
        assert client.post(path, json=body, headers={"Authorization": "Bearer one"}).status_code == 200
        assert client.post(path, json=body, headers={"X-API-Key": "one"}).status_code == 200
