"""Servers of one PostgreSQL store: what one is told, the others follow."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest
from starlette.testclient import TestClient

import tiny
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.serving.added import AddedItem
from ccf_llm.serving.app import create_app
from ccf_llm.serving.service import Service
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.serving.store import EventStore

ADMIN = {"X-API-Key": "the-admin"}
on_postgresql = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)


@pytest.fixture
def model(served_model: Path, tmp_path: Path) -> Path:
    """A copy that may be replaced."""
    return Path(copytree(served_model, tmp_path / "model"))


@pytest.fixture
def two(model: Path, store_url: str) -> Iterator[list[tuple[Service, TestClient]]]:
    """Two servers."""
    settings = ServeSettings(follow_seconds=0.02, deadline_ms=60_000, admin_key=ADMIN["X-API-Key"])
    services = [Service(model, EventStore(store_url), settings) for _ in range(2)]
    with TestClient(create_app(services[0])) as first, TestClient(create_app(services[1])) as second:
        yield list(zip(services, (first, second), strict=True))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@on_postgresql
def test_an_item_that_one_takes_in_is_found_by_the_other(two: list[tuple[Service, TestClient]]) -> None:
    (_, first), (_, second) = two
    new = {"item_id": "n1", "title": "Quixotic zebra"}
    assert first.post("/v1/items", json=new, headers=ADMIN).status_code == 201
    until(lambda: second.get("/v1/items", params={"query": "zebra"}).json()["items"] != [])
    asked = second.post("/v1/score", json={"history": ["i1"], "item_ids": ["n1"]})
    assert asked.json()["scores"][0]["score"] == pytest.approx(
        first.post("/v1/score", json={"history": ["i1"], "item_ids": ["n1"]}).json()["scores"][0]["score"], abs=1e-5
    )


@on_postgresql
def test_an_erasure_empties_the_memory_of_the_other_too(two: list[tuple[Service, TestClient]]) -> None:
    (_, first), (other, second) = two
    event = {"key": "1", "user_id": "ana", "item_id": "i1", "kind": "like"}
    assert second.post("/v1/events", json=event).status_code == 201
    assert first.delete("/v1/users/ana").json() == {"events": 1}
    assert second.get("/v1/users/ana").json()["likes"] == []  # at once: histories are read from the store
    until(lambda: other.batcher.erasures == 1)


@on_postgresql
def test_a_reload_of_one_is_a_reload_of_both(two: list[tuple[Service, TestClient]], model: Path) -> None:
    (_, first), (other, _) = two
    before = other.served
    loaded = CCFLLM.load(model)
    tiny.stir(loaded.network, seed=7)
    loaded.save(model)
    answer = first.post("/v1/admin/reload", headers=ADMIN).json()
    assert answer["previous"] == before.version != answer["model"]
    until(lambda: other.served.version == answer["model"])


def test_each_change_is_counted(store_url: str) -> None:
    with EventStore(store_url) as store, EventStore(store_url) as other:
        assert other.changes() == {}
        for _ in range(2):
            store.erase("ana")
        for words in ({"title": "A"}, {"title": "A"}, {"title": "B"}):
            store.items.add(AddedItem("n1", words), 10)
        store.note_reload()
        assert other.changes() == {"erased": 2, "items": 1, "reload": 1}
