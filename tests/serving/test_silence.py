"""The log of a server says nothing of people and items, whatever happens."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

PERSON, ITEM, TITLE = "somebody-with-a-name", "an-item-of-theirs", "A title of theirs"
ADMIN = {"X-API-Key": "the-admin"}
EVENT = {"key": f"of {PERSON}", "user_id": PERSON, "item_id": ITEM, "kind": "like"}
MINE: dict[str, Any] = {"user_id": PERSON, "deadline_ms": 60_000}
ROUND: list[tuple[str, str, Any, int]] = [
    ("POST", "/v1/items", {"item_id": ITEM, "title": TITLE}, 201),
    ("POST", "/v1/events", EVENT, 201),
    ("POST", "/v1/events", EVENT | {"kind": "dislike"}, 409),
    ("POST", "/v1/events", EVENT | {"item_id": TITLE}, 404),
    ("GET", f"/v1/items?query={TITLE}", None, 200),
    ("GET", f"/v1/items/{ITEM}/similar", None, 200),
    ("POST", "/v1/recommend", MINE | {"order": "fused"}, 200),
    ("POST", "/v1/score", MINE | {"item_ids": [ITEM]}, 200),
    ("POST", "/v1/explain", MINE | {"item_ids": [ITEM]}, 200),
    ("POST", "/v1/rerank", {"query": PERSON, "documents": [TITLE]}, 200),
    ("POST", "/v1/recommend", {"history": [TITLE]}, 404),
    ("POST", "/v1/recommend", {"user_id": [PERSON]}, 422),
    ("POST", "/v1/admin/reload", None, 200),
    ("GET", f"/v1/users/{PERSON}", None, 200),
    ("DELETE", f"/v1/users/{PERSON}", None, 200),
]


def test_no_id_and_no_title_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        statuses = [
            client.request(method, path, json=body, headers=ADMIN).status_code for method, path, body, _ in ROUND
        ]
    assert statuses == [status for *_, status in ROUND]
    server = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]  # the client's
    silent(" ".join(server) + client.get("/metrics").text)


def test_a_store_that_fails_is_logged_without_what_it_was_asked(
    make_client: Callable[..., TestClient], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    with sqlite3.connect(tmp_path / "events-0.sqlite") as other:
        other.execute("DROP TABLE ccf_llm_events")
    other.close()
    answers = [
        client.post("/v1/events", json=EVENT | {"item_id": "i1"}),
        client.get(f"/v1/users/{PERSON}"),
        client.delete(f"/v1/users/{PERSON}"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert "the event store failed" in caplog.text
    assert "OperationalError" in caplog.text  # with its traceback
    silent(caplog.text + "".join(answer.text for answer in answers))


def silent(text: str) -> None:
    for told in (PERSON, ITEM, TITLE):
        assert told not in text
