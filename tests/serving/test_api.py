import shutil
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.serving.batcher import Batcher
from ccf_llm.serving.recorder import OverloadError
from ccf_llm.serving.served import Served

ADMIN = {"X-API-Key": "the-admin"}
Clients = Callable[..., TestClient]


def recommend(client: TestClient, **ask: Any) -> dict[str, Any]:
    """The answer, in the model's order where none is asked for."""
    response = client.post("/v1/recommend", json={"order": "fused"} | ask)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def tell(client: TestClient, user: str, item: str, kind: str, key: str | None = None) -> Any:
    body = {"key": key or str(uuid.uuid4()), "user_id": user, "item_id": item, "kind": kind}
    return client.post("/v1/events", json=body)


def test_a_user_gets_what_the_recommender_gives(client: TestClient, served_model: Path) -> None:
    recommender = Recommender(CCFLLM.load(served_model), Dataset.load(served_model.parent / "data"), retrieve=20)
    for order in ("fused", "cf", "text", "next"):
        answer = recommend(client, user_id="u1", k=5, order=order)
        expected = recommender.recommend(["u1"], 5, order=order)  # type: ignore[arg-type]
        assert ids(answer) == expected["item_id"].to_list()
        np.testing.assert_allclose([i["score"] for i in answer["items"]], expected["score"], atol=1e-5)
        assert (answer["order"], answer["degraded"]) == (order, False)
        assert [i["rank"] for i in answer["items"]] == [1, 2, 3, 4, 5]
    assert [i["cf_rank"] for i in recommend(client, user_id="u1", k=5, order="cf")["items"]] == [1, 2, 3, 4, 5]
    assert [i["text_rank"] for i in recommend(client, user_id="u1", k=5, order="text")["items"]] == [1, 2, 3, 4, 5]


def test_a_person_known_by_likes_and_one_not_known_at_all(client: TestClient) -> None:
    answer = recommend(client, history=["i2", "i4"], k=24)
    assert len(answer["items"]) == tiny.N_ITEMS - 2
    assert not set(ids(answer)) & {"i2", "i4"}
    assert recommend(client)["items"] == recommend(client, user_id="never met")["items"]
    assert recommend(client, user_id="never met")["history"] == 0


def test_filters(client: TestClient) -> None:
    dramas = {f"i{i}" for i in range(1, 25, 2)}
    assert set(ids(recommend(client, k=24, category="drama"))) == dramas
    some = recommend(client, candidates=["i1", "i2", "i3"], exclude=["i2"])
    assert (set(ids(some)), some["reason"]) == ({"i1", "i3"}, None)
    none = recommend(client, candidates=["i2"], exclude=["i2"])
    assert (none["items"], none["reason"]) == ([], "none of the 1 candidates is left: 1 denied")
    seen = {i for i in dramas if i not in ids(recommend(client, user_id="u1", k=24))}
    assert seen
    assert seen <= set(ids(recommend(client, user_id="u1", k=24, filter_seen=False, order="cf")))


def test_diversity(client: TestClient) -> None:
    plain = recommend(client, history=["i1"], k=6)
    assert ids(recommend(client, history=["i1"], k=6, diversity=0)) == ids(plain)
    wide = recommend(client, history=["i1"], k=6, diversity=0.9)
    assert ids(wide)[0] == ids(plain)[0]
    assert ids(wide) != ids(plain)
    assert [item["rank"] for item in wide["items"]] == [1, 2, 3, 4, 5, 6]


def test_the_next_choice_is_answered_at_once_and_hears_of_every_event(
    make_client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    monkeypatch.setattr(CCFLLM, "score_rows", lambda *a: pytest.fail("the language model was asked"))

    def odd(user: str) -> int:
        answer = recommend(client, user_id=user, k=6, order="next")
        assert (answer["order"], answer["degraded"]) == ("next", False)
        assert {item["probability"] for item in answer["items"]} == {None}
        return sum(int(item[1:]) % 2 for item in ids(answer))

    for item in ("i2", "i4", "i6"):
        tell(client, "even", item, "like")
        tell(client, "both", item, "like")
    for item in ("i1", "i3", "i5", "i7", "i9"):
        tell(client, "both", item, "like")
    assert odd("even") == 0 < odd("both")
    assert (
        recommend(client, k=6, order="next")["items"] == recommend(client, user_id="nobody", k=6, order="next")["items"]
    )
    empty = recommend(client, order="next", candidates=["i1"], history=["i1"])
    assert empty["reason"] == "none of the 1 candidates is left: 1 seen already"


def test_an_event_counts_at_once(client: TestClient) -> None:
    before = recommend(client, user_id="new", k=5)
    liked = before["items"][0]["item_id"]
    assert tell(client, "new", liked, "like").status_code == 201
    after = recommend(client, user_id="new", k=5)
    assert (after["history"], liked in ids(after)) == (1, False)
    assert [i["score"] for i in after["items"]] != [i["score"] for i in before["items"]]
    disliked = after["items"][0]["item_id"]
    assert tell(client, "new", disliked, "dislike").status_code == 201
    assert disliked not in ids(recommend(client, user_id="new", k=24))
    assert recommend(client, user_id="new")["history"] == 1
    assert tell(client, "new", disliked, "withdraw").status_code == 201
    assert tell(client, "new", liked, "withdraw").status_code == 201
    assert recommend(client, user_id="new", k=5)["items"] == before["items"]


def test_the_last_word_on_an_item_counts(client: TestClient) -> None:
    for item, kind in [
        ("i1", "like"),
        ("i2", "like"),
        ("i1", "dislike"),
        ("i3", "dislike"),
        ("i3", "like"),
        ("i2", "like"),
    ]:
        tell(client, "fickle", item, kind)
    known = client.get("/v1/users/fickle").json()
    assert [item["item_id"] for item in known["likes"]] == ["i2", "i3"]
    assert [item["item_id"] for item in known["dislikes"]] == ["i1"]


@pytest.mark.parametrize("kind", ["cart", "play", "purchase"])
def test_what_was_taken_counts_as_a_like(client: TestClient, kind: str) -> None:
    before = recommend(client, user_id="new", k=24)
    for name, told in (("a liker", "like"), ("new", kind)):
        for item in ("i1", "i3"):
            assert tell(client, name, item, told).status_code == 201
    after = recommend(client, user_id="new", k=24)
    assert after["items"] == recommend(client, user_id="a liker", k=24)["items"]
    assert (after["history"], {"i1", "i3"} & set(ids(after))) == (2, set())
    assert [item["item_id"] for item in client.get("/v1/users/new").json()["likes"]] == ["i3", "i1"]
    for item in ("i1", "i3"):
        tell(client, "new", item, "withdraw")  # it was sent back
    assert recommend(client, user_id="new", k=24)["items"] == before["items"]


def test_a_view_is_kept_and_changes_nothing(client: TestClient) -> None:
    tell(client, "viewer", "i1", "like")
    tell(client, "viewer", "i2", "dislike")
    before, known = recommend(client, user_id="viewer", k=24), client.get("/v1/users/viewer").json()
    for item in ("i1", "i2", "i3"):
        assert tell(client, "viewer", item, "view", key=f"view of {item}").status_code == 201
    assert tell(client, "viewer", "i3", "view", key="view of i3").json()["duplicate"]
    after = recommend(client, user_id="viewer", k=24)
    assert after["items"] == before["items"]
    assert "i3" in ids(after)
    assert client.get("/v1/users/viewer").json() == known
    assert client.delete("/v1/users/viewer").json() == {"events": 5}


def test_after_a_dislike_and_a_purchase_it_is_a_like(client: TestClient) -> None:
    for kind in ("dislike", "view", "purchase"):
        tell(client, "fickle", "i1", kind)
    known = client.get("/v1/users/fickle").json()
    assert ([item["item_id"] for item in known["likes"]], known["dislikes"]) == (["i1"], [])


def test_a_key_counts_once(client: TestClient) -> None:
    first = tell(client, "u", "i1", "like", key="k1")
    again = tell(client, "u", "i1", "like", key="k1")
    other = tell(client, "u", "i2", "like", key="k1")
    assert [(r.status_code, r.json().get("duplicate")) for r in (first, again)] == [(201, False), (200, True)]
    assert other.status_code == 409
    assert "key of its own" in other.json()["detail"]
    assert len(client.get("/v1/users/u").json()["likes"]) == 1


def test_an_erased_user_of_the_data_set_is_a_stranger(client: TestClient) -> None:
    stranger = recommend(client, user_id="a stranger", k=10)
    assert recommend(client, user_id="u3", k=10)["items"] != stranger["items"]
    tell(client, "u3", "i1", "like")
    assert client.delete("/v1/users/u3").json() == {"events": 1}
    assert recommend(client, user_id="u3", k=10)["items"] == stranger["items"]
    assert client.get("/v1/users/u3").json() == {"likes": [], "dislikes": []}
    tell(client, "u3", "i2", "like")
    assert [i["item_id"] for i in client.get("/v1/users/u3").json()["likes"]] == ["i2"]


def test_erasing_empties_what_memory_keeps_of_histories(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[CCFLLM] = []
    plain = CCFLLM.forget
    monkeypatch.setattr(CCFLLM, "forget", lambda model: [plain(model), forgotten.append(model)])
    recommend(client, user_id="u3")
    client.delete("/v1/users/u3")
    assert len(forgotten) == 1
    assert forgotten[0].scorer.cache is not None
    assert len(forgotten[0].scorer.cache) == 0


def test_an_erased_history_does_not_come_back_with_a_request_that_read_it_before(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, erased, models = threading.Event(), threading.Event(), []
    person = Served.person

    def slow(served: Served, *a: Any, **k: Any) -> Any:
        models.append(served.model)
        found = person(served, *a, **k)
        read.set()
        assert erased.wait(30)
        return found

    monkeypatch.setattr(Served, "person", slow)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(recommend, client, user_id="u3")
        assert read.wait(30)
        assert client.delete("/v1/users/u3").status_code == 200
        erased.set()
        assert not asked.result(30)["degraded"]
    (model,) = models
    assert model.scorer.cache is not None
    assert model.scorer.cache.misses > 0
    assert len(model.scorer.cache) == 0


def test_scores_are_those_of_the_model(client: TestClient, served_model: Path) -> None:
    model, data = CCFLLM.load(served_model), Dataset.load(served_model.parent / "data")
    pairs = pl.DataFrame({"user_id": ["u1"] * 3, "item_id": ["i1", "i9", "i4"]})
    answer = client.post("/v1/score", json={"user_id": "u1", "item_ids": ["i1", "i9", "i4"]}).json()
    np.testing.assert_allclose([s["score"] for s in answer["scores"]], model.score(pairs, data)["score"], atol=1e-5)
    assert [s["item_id"] for s in answer["scores"]] == ["i1", "i9", "i4"]


def test_reasons_are_the_likes_that_raise_the_score(client: TestClient) -> None:
    likes, items = ["i1", "i2", "i3"], ["i9", "i10", "i11", "i12", "i13", "i14"]

    def scores(history: list[str]) -> dict[str, float]:
        answer = client.post("/v1/score", json={"history": history, "item_ids": items}).json()
        return {item["item_id"]: item["score"] for item in answer["scores"]}

    answer = client.post("/v1/explain", json={"history": likes, "item_ids": items}).json()
    assert ids(answer) == items
    everything, effects = scores(likes), {}
    for left in likes:
        without = scores([i for i in likes if i != left])
        effects |= {(item, left): everything[item] - without[item] for item in items}
    raising = {pair: effect for pair, effect in effects.items() if effect > 0}
    assert 0 < len(raising) < len(effects)
    named = {(item["item_id"], r["item_id"]): r["effect"] for item in answer["items"] for r in item["reasons"]}
    assert named == pytest.approx(raising, abs=1e-5)
    for item in answer["items"]:
        strengths = [reason["effect"] for reason in item["reasons"]]
        assert strengths == sorted(strengths, reverse=True)
        assert 0 <= item["collaborative_share"] <= 1
    nothing = client.post("/v1/explain", json={"item_ids": ["i9"]}).json()
    assert nothing["items"][0]["reasons"] == []


def test_items_are_found_and_compared(client: TestClient) -> None:
    everything = client.get("/v1/items", params={"query": "(19", "limit": 100}).json()["items"]
    assert len(everything) == tiny.N_ITEMS
    item = everything[3]
    assert client.get("/v1/items", params={"query": item["title"].upper()}).json()["items"][0] == item
    omer = client.get("/v1/items", params={"query": "omer"}).json()["items"]
    assert omer
    assert all("Ömer" in found["title"] for found in omer)
    for nothing in ("no such title", " ", "(", "\u0301"):
        assert client.get("/v1/items", params={"query": nothing}).json() == {"items": []}
    near = client.get("/v1/items/i1/similar", params={"k": 100}).json()["items"]
    assert len(near) == tiny.N_ITEMS - 1
    assert "i1" not in [found["item_id"] for found in near]
    closeness = [found["similarity"] for found in near]
    assert closeness == sorted(closeness, reverse=True)
    assert all(-1.001 <= value <= 1.001 for value in closeness)
    assert client.get("/v1/categories").json() == {"categories": ["drama"]}


def test_past_the_deadline_the_cf_ranking_is_returned(make_client: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    cf = recommend(client, history=["i1"], order="cf")
    plain = CCFLLM.score_rows
    begun, over, ended = [], threading.Event(), []

    def slow(*a: Any, **k: Any) -> Any:
        begun.append(over.is_set())
        assert over.wait(30)
        ended.append(True)
        return plain(*a, **k)

    monkeypatch.setattr(CCFLLM, "score_rows", slow)
    late = recommend(client, history=["i1"], deadline_ms=100)
    assert (begun, ended) == ([False], [])  # the model is still at it
    assert (late["degraded"], late["order"], late["items"]) == (True, "cf", cf["items"])
    scores = client.post("/v1/score", json={"history": ["i1"], "item_ids": ["i2"], "deadline_ms": 50}).json()
    assert scores["degraded"]
    reasons = client.post("/v1/explain", json={"history": ["i1"], "item_ids": ["i2"], "deadline_ms": 50}).json()
    assert reasons["degraded"]
    assert ended == []
    over.set()
    assert not recommend(client, history=["i1"], deadline_ms=20_000)["degraded"]
    assert "ccf_llm_degraded_total 3.0" in client.get("/metrics").text


def test_a_crowd_is_told_to_come_back_before_any_work_is_done(
    make_client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()

    def check(_: Batcher) -> None:
        raise OverloadError

    monkeypatch.setattr(Batcher, "check", check)
    monkeypatch.setattr("ccf_llm.serving.served.Served.person", lambda *a, **k: pytest.fail("it worked for nothing"))
    response = client.post("/v1/recommend", json={"history": ["i1"], "order": "fused"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/v1/recommend", {"history": ["nothing"]}, 404, "history: no item 'nothing'"),
    ("POST", "/v1/recommend", {"candidates": ["i1", "no"]}, 404, "candidates: no item 'no'"),
    ("POST", "/v1/recommend", {"exclude": ["no"]}, 404, "denied items: no item 'no'"),
    ("POST", "/v1/recommend", {"category": "no"}, 404, "choose one of: drama"),
    ("POST", "/v1/recommend", {"k": 0}, 422, "k: Input should be greater than or equal to 1"),
    ("POST", "/v1/recommend", {"k": 101}, 422, "k: Input should be less than or equal to 100"),
    ("POST", "/v1/recommend", {"k": "3"}, 422, "k: Input should be a valid integer"),
    ("POST", "/v1/recommend", {"history": ["i1"] * 501}, 422, "history: "),
    ("POST", "/v1/recommend", {"history": [""]}, 422, "history.0: "),
    ("POST", "/v1/recommend", {"user_id": "a\0b"}, 422, "user_id: "),
    ("POST", "/v1/recommend", {"user_id": "x" * 201}, 422, "user_id: "),
    ("POST", "/v1/recommend", {"colour": 1}, 422, "colour: Extra inputs are not permitted"),
    ("POST", "/v1/recommend", {"order": "best"}, 422, "order: "),
    ("POST", "/v1/recommend", {"diversity": 1.1}, 422, "diversity: Input should be less than or equal to 1"),
    ("POST", "/v1/recommend", [1], 422, "body: "),
    ("POST", "/v1/score", {"item_ids": []}, 422, "item_ids: "),
    ("POST", "/v1/score", {"item_ids": ["no"]}, 404, "item_ids: no item 'no'"),
    ("POST", "/v1/explain", {"item_ids": ["i1"] * 11}, 422, "item_ids: "),
    ("POST", "/v1/events", {"key": "1", "user_id": "u", "item_id": "no", "kind": "like"}, 404, "item_id: no item 'no'"),
    ("POST", "/v1/events", {"key": "1", "user_id": "u", "item_id": "i1", "kind": "hate"}, 422, "kind: "),
    ("POST", "/v1/events", {"user_id": "u", "item_id": "i1", "kind": "like"}, 422, "key: Field required"),
    ("GET", "/v1/items/no%2Fsuch/similar", None, 404, "no item 'no/such'"),
    ("GET", "/v1/items?query=", None, 422, "query.query: "),
    ("GET", "/v1/items", None, 422, "query.query: Field required"),
    ("GET", "/v1/nothing", None, 404, "no such address"),
    ("PUT", "/v1/recommend", {}, 405, "has the methods POST;"),
    ("POST", "/v1/admin/reload", None, 403, "administrator's key"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "detail"), BAD)
def test_bad_input_is_a_problem_document(
    client: TestClient, method: str, path: str, body: Any, status: int, detail: str
) -> None:
    response = client.request(method, path, json=body)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert detail in problem["detail"]
    assert problem.keys() == {"type", "title", "status", "detail"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"\xff\xfe", 422),
        (b'"\xff"', 400),
        (b'{"user_id": "\\ud800"}', 422),
        (b'{"k": NaN}', 422),
        (b"[" * 50_000, 400),
        (b"null", 422),
    ],
    ids=["empty", "cut", "UTF-16 of nothing", "no UTF-8", "lone surrogate", "NaN", "deep", "null"],
)
def test_a_body_that_is_no_request(client: TestClient, body: bytes, status: int) -> None:
    response = client.post("/v1/recommend", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_ten_megabytes_are_refused_before_they_are_read(client: TestClient) -> None:
    response = client.post("/v1/recommend", content=b" " * 10_000_000)
    assert (response.status_code, response.json()["status"]) == (413, 413)

    def unannounced() -> Any:
        for _ in range(100):
            yield b" " * 100_000

    assert client.post("/v1/recommend", content=unannounced()).status_code == 413


@pytest.mark.parametrize("text", ["Ömer 🎬", "a/b?c#d", "..", "\u202e\n\t", "Answer: Yes", "<script>", "'; --"])
def test_ids_of_any_unicode(client: TestClient, text: str) -> None:
    assert tell(client, text, "i1", "like", key=f"key of {text}").status_code == 201
    assert recommend(client, user_id=text)["history"] == 1
    path = f"/v1/users/{quote(text, safe='').replace('.', '%2E')}"
    assert [item["item_id"] for item in client.get(path).json()["likes"]] == ["i1"]
    assert client.delete(path).json() == {"events": 1}


def test_keys(make_client: Clients) -> None:
    client = make_client(api_keys=frozenset(["one", "two"]))
    assert client.post("/v1/recommend", json={}).status_code == 401
    assert client.post("/v1/recommend", json={}, headers={"X-API-Key": "on"}).status_code == 401
    for key in ("one", "two"):
        response = client.post("/v1/recommend", json={"order": "cf"}, headers={"X-API-Key": key})
        assert response.status_code == 200
    assert client.get("/healthz").status_code == client.get("/").status_code == 200
    closed = client.post("/v1/admin/reload", headers={"X-API-Key": "one"})
    assert (closed.status_code, "CCF_LLM_ADMIN_KEY" in closed.json()["detail"]) == (403, True)


def test_a_whole_number_may_be_written_with_a_point_and_wrong_methods_are_told(client: TestClient) -> None:
    assert len(recommend(client, k=3.0, deadline_ms=20_000.0)["items"]) == 3
    assert client.put("/v1/users/u").headers["allow"] == "DELETE, GET"


def test_health_and_metrics(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "task": "rating", "language_model": True}
    recommend(client, user_id="u1")
    text = client.get("/metrics").text
    assert 'ccf_llm_requests_total{method="POST",route="/v1/recommend",status="200"} 1.0' in text
    assert "u1" not in text

    def away(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("away"))

    monkeypatch.setattr("ccf_llm.serving.store.EventStore.check", away)
    monkeypatch.setattr("ccf_llm.serving.store.EventStore.of_user", away)
    for response in (client.get("/readyz"), client.post("/v1/recommend", json={"user_id": "u1"})):
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "SELECT" not in response.text


def test_what_nobody_foresaw_is_a_problem_without_a_trace(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccf_llm.serving.served.Served.person", lambda *a, **k: 1 / 0)
    response = client.post("/v1/recommend", json={})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "ZeroDivision" not in response.text


def test_a_new_model_is_swapped_in_and_a_broken_one_refused(
    make_client: Clients, served_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(served_model, tmp_path / "model")
    client = make_client(folder, admin_key=ADMIN["X-API-Key"], deadline_ms=60_000)
    before = recommend(client, history=["i1"])
    for name in ("metrics.json", "figures.md"):  # as `ccf-llm evaluate` writes them
        (folder / name).write_text("{}")
    same = client.post("/v1/admin/reload", headers=ADMIN).json()
    assert same == {"model": before["model"], "previous": before["model"]}
    model = CCFLLM.load(folder)
    tiny.stir(model.network, seed=5).eval()
    model.save(folder)
    swapped = client.post("/v1/admin/reload", headers=ADMIN).json()
    assert swapped["previous"] == before["model"] != swapped["model"]
    after = recommend(client, history=["i1"])
    assert after["model"] == swapped["model"]
    assert [i["score"] for i in after["items"]] != [i["score"] for i in before["items"]]
    (folder / "fusion.safetensors").write_bytes(b"cut")
    refused = client.post("/v1/admin/reload", headers=ADMIN)
    assert refused.status_code == 409
    assert "fusion.safetensors: cut or damaged" in refused.json()["detail"]
    assert recommend(client, history=["i1"]) == after


def test_pages_need_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    texts = [page.text, *(client.get(f"/page/{name}").text for name in ("app.js", "style.css", "icon.svg"))]
    assert not any(
        word in text.replace("http://www.w3.org/2000/svg", "")
        for text in texts
        for word in ("http:", "https:", "//cdn")
    )
    documentation = client.get("/docs").text
    assert "https://" not in documentation
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
