"""Items that are added to a server that runs."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

import tiny
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.following import Following
from ccf_llm.serving.added import AddedItem
from ccf_llm.serving.app import create_app
from ccf_llm.serving.service import Service
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.serving.store import EventStore

ADMIN = {"X-API-Key": "the-admin"}
NEW = {"item_id": "n1", "title": "Ömer's zebra", "genres": "drama|war"}


def add(client: TestClient, **words: Any) -> Any:
    return client.post("/v1/items", json=NEW | words, headers=ADMIN)


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def presence(client: TestClient, item: str = "n1") -> list[bool]:
    """Whether search, similar items, every order, candidates and categories know it."""
    found = client.get("/v1/items", params={"query": "zebra"}).json()
    near = client.get("/v1/items/i1/similar", params={"k": 100}).json()
    ask = {"history": ["i1"], "k": 30}
    orders = [
        client.post("/v1/recommend", json=ask | {"order": order}).json() for order in ("fused", "cf", "text", "next")
    ]
    scored = client.post("/v1/score", json={"history": ["i1"], "item_ids": [item]})
    categories = client.get("/v1/categories").json()["categories"]
    own = client.get(f"/v1/items/{item}/similar")
    return [
        item in ids(found),
        item in ids(near),
        *(item in ids(answer) for answer in orders),
        scored.status_code == 200,
        "war" in categories,
        own.status_code == 200,
    ]


def test_an_item_is_everywhere_at_once_and_after_a_reload(client: TestClient) -> None:
    before = client.post("/v1/recommend", json={"user_id": "u1", "k": 30, "order": "next"}).json()
    assert not any(presence(client))
    response = add(client)
    assert (response.status_code, response.json()) == (201, {"item_id": "n1", "duplicate": False})
    assert all(presence(client))
    found = client.get("/v1/items", params={"query": "zebra"}).json()["items"][0]
    assert found == {"item_id": "n1", "title": "Ömer's zebra", "details": "drama, war"}
    after = client.post("/v1/recommend", json={"user_id": "u1", "k": 30, "order": "next"}).json()
    assert ids(after) == [*ids(before), "n1"]  # nobody has liked it yet
    client.post("/v1/events", json={"key": "1", "user_id": "ana", "item_id": "n1", "kind": "like"})
    liked = client.post("/v1/recommend", json={"user_id": "ana", "k": 30, "order": "next"}).json()
    assert (liked["history"], len(liked["items"])) == (1, tiny.N_ITEMS)
    assert client.post("/v1/admin/reload", headers=ADMIN).status_code == 200
    assert all(presence(client))


@pytest.fixture
def start(served_model: Path, store_url: str) -> Iterator[Callable[..., TestClient]]:
    """Servers over one store, SQLite or PostgreSQL."""
    clients: list[TestClient] = []

    def begin(model: Path = served_model) -> TestClient:
        settings = ServeSettings(deadline_ms=60_000, admin_key="the-admin", added_items=2, follow_seconds=3600)
        client = TestClient(create_app(Service(model, EventStore(store_url), settings)), raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield begin
    for client in clients:
        client.__exit__(None, None, None)


def test_a_restart_a_second_server_and_a_model_that_knows_it_itself(
    start: Callable[..., TestClient], served_model: Path, tmp_path: Path
) -> None:
    first = start()
    assert add(first).status_code == 201
    second = start()
    assert all(presence(second))
    assert add(second, item_id="n2").status_code == 201
    assert first.get("/v1/items/n2/similar").status_code == 404
    assert add(first, item_id="n2").json()["duplicate"]  # it hears of it with the next one, or with a reload
    assert first.get("/v1/items/n2/similar").status_code == 200
    full = add(first, item_id="n3")
    assert (full.status_code, full.json()["detail"]) == (
        409,
        "2 items were added; train again with them in the data",
    )
    grown = CCFLLM.load(served_model)
    grown = grown.with_items(pl.DataFrame({"item_id": ["n1"], "title": ["Another night"], "genres": [""]}))
    grown.save(tmp_path / "model")
    third = start(tmp_path / "model")  # what it was trained with counts
    assert third.get("/v1/items", params={"query": "another night"}).json()["items"][0]["item_id"] == "n1"
    assert third.get("/v1/items/n2/similar").status_code == 200
    assert add(third).status_code == 409


def test_an_erasure_reaches_what_was_kept_before_the_item_came(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[CCFLLM] = []
    plain = CCFLLM.score_rows

    def score(model: CCFLLM, *a: Any) -> Any:
        read.append(model)
        return plain(model, *a)

    monkeypatch.setattr(CCFLLM, "score_rows", score)
    ask = {"user_id": "u3", "order": "fused"}
    assert not client.post("/v1/recommend", json=ask).json()["degraded"]
    add(client)
    assert not client.post("/v1/recommend", json=ask).json()["degraded"]
    before, after = (model.scorer.cache for model in (read[0], read[-1]))
    assert read[0] is not read[-1]
    assert before
    assert after
    client.delete("/v1/users/u3")
    assert (len(before), len(after)) == (0, 0)


def test_the_same_item_counts_once_and_another_one_of_its_id_is_refused(client: TestClient) -> None:
    assert add(client).status_code == 201
    for same in ({}, {"genres": "drama, war"}):
        again = add(client, **same)
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
    for other in ({"title": "Another night"}, {"genres": "drama"}):
        assert "is there with other words" in add(client, **other).json()["detail"]
    known = client.get("/v1/items", params={"query": "(1971)"}).json()["items"][0]
    of_training = {"item_id": known["item_id"], "title": known["title"]}
    drama = of_training | {"genres": "drama"}
    assert client.post("/v1/items", json=drama, headers=ADMIN).json()["duplicate"]
    assert client.post("/v1/items", json=of_training, headers=ADMIN).status_code == 409
    assert len(client.get("/v1/items", params={"query": "zebra"}).json()["items"]) == 1


def test_nothing_is_fitted_anew_and_items_that_come_together_are_taken_in_together(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Following, "prepare", lambda _: pytest.fail("fitted anew"))
    monkeypatch.setattr("ccf_llm.cf.ease.EASE.fit", lambda *a, **k: pytest.fail("fitted anew"))
    taken, plain, first = [], CCFLLM.with_items, threading.Event()

    def slow(model: CCFLLM, items: Any) -> CCFLLM:
        taken.append(len(items))
        first.wait(30)
        return plain(model, items)

    monkeypatch.setattr(CCFLLM, "with_items", slow)
    with ThreadPoolExecutor(8) as pool, EventStore(f"sqlite:///{tmp_path}/events-0.sqlite") as store:
        jobs = [pool.submit(add, client, item_id=f"n{i}") for i in range(8)]
        while len(store.items.all()) < 8:  # all are kept while the first is taken in
            time.sleep(0.01)
        first.set()
        assert [job.result(60).status_code for job in jobs] == [201] * 8
    assert len(taken) <= 2
    assert taken[-1] == 8
    assert len(client.get("/v1/items", params={"query": "zebra"}).json()["items"]) == 8


@pytest.mark.parametrize(
    ("words", "status", "detail"),
    [
        ({"colour": "red"}, 404, "colour: the catalogue has no such column, but title, genres; leave it out"),
        ({"title": "\u200b"}, 422, "items: item 'n1' has an empty title"),
        ({"title": " "}, 422, "title: "),
        ({"title": "x" * 501}, 422, "title: "),
        ({"genres": "x" * 501}, 422, "genres: "),
        ({"genres": 3}, 422, "genres: "),
        ({"item_id": "10.0"}, 422, "item_id: '10.0' would become '10'; write it so"),
        ({"item_id": " n"}, 422, "item_id: "),
        ({"item_id": "x" * 201}, 422, "item_id: "),
        ({"item_id": ""}, 422, "item_id: "),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    client: TestClient, words: dict[str, Any], status: int, detail: str
) -> None:
    response = add(client, **words)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["detail"].startswith(detail)
    assert "\n" not in response.json()["detail"]
    assert len(client.get("/v1/items", params={"query": "zebra"}).json()["items"]) == 0


def test_only_the_administrator_adds_items(make_client: Callable[..., TestClient]) -> None:
    client = make_client(api_keys=frozenset(["one"]), admin_key="the-admin")
    assert client.post("/v1/items", json=NEW, headers={"X-API-Key": "one"}).status_code == 403
    assert client.post("/v1/items", json=NEW).status_code == 403
    assert add(client).status_code == 201
    closed = make_client()
    assert "CCF_LLM_ADMIN_KEY" in add(closed).json()["detail"]


def test_the_table_keeps_words_as_they_are(store_url: str) -> None:
    words = {"title": "'; DROP TABLE ccf_llm_items; -- 🎬", "genres": "a\nb"}
    item = AddedItem("Ömer", words)
    with EventStore(store_url) as store:
        assert [store.items.add(item, 2) for _ in range(2)] == ["recorded", "duplicate"]
        assert store.items.add(AddedItem("Ömer", {"title": "x"}), 2) == "conflict"
        assert store.items.add(AddedItem("two", words), 2) == "recorded"
        assert store.items.add(AddedItem("three", words), 2) == "full"
    with EventStore(store_url) as again:
        assert again.items.all() == [item, AddedItem("two", words)]
