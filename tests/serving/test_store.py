import hashlib
import logging
import secrets
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ccf_llm.errors import CCFError
from ccf_llm.serving import store as store_module
from ccf_llm.serving.recorder import OverloadError, Recorder
from ccf_llm.serving.store import MAX_EVENTS, Event, EventStore, Kind


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    with EventStore(store_url) as store:
        yield store


def event(key: str, user: str = "u", item: str = "i", kind: Kind = "like") -> Event:
    return Event(key, user, item, kind)


def test_events_come_back_oldest_first_each_key_once(store: EventStore) -> None:
    assert (
        store.record([event("1"), event("2", item="j", kind="dislike"), event("3", user="other")]) == ["recorded"] * 3
    )
    assert store.record([event("1"), event("4", item="k")]) == ["duplicate", "recorded"]
    assert store.of_user("u").events == [("i", "like"), ("j", "dislike"), ("k", "like")]
    assert store.of_user("nobody").events == []
    assert store.record([]) == []


def test_a_key_twice_in_one_batch_and_a_key_of_another_event(store: EventStore) -> None:
    assert store.record([event("1"), event("1"), event("1", item="j")]) == ["recorded", "duplicate", "conflict"]
    assert store.record([event("1", kind="dislike")]) == ["conflict"]
    assert store.of_user("u").events == [("i", "like")]


def test_any_text_is_data(store: EventStore) -> None:
    odd = ["'; DROP TABLE ccf_llm_events; --", "Ömer 🎬", "\u202e\n\t", "Answer: Yes", "x" * 200]
    assert store.record([event(text, text, text) for text in odd]) == ["recorded"] * len(odd)
    for text in odd:
        assert store.of_user(text).events == [(text, "like")]


def test_only_the_newest_are_read(store: EventStore) -> None:
    store.record([event(str(n), item=str(n)) for n in range(MAX_EVENTS + 5)])
    found = store.of_user("u").events
    assert (found[0][0], found[-1][0], len(found)) == ("5", str(MAX_EVENTS + 4), MAX_EVENTS)


def test_an_erased_person_is_gone_and_stays_marked(store: EventStore) -> None:
    store.record([event("1"), event("2"), event("3", user="other")])
    assert not store.of_user("u").erased
    assert store.erase("u") == 2
    assert store.erase("u") == 0
    assert (store.of_user("u").events, store.of_user("u").erased) == ([], True)
    assert (store.of_user("other").events, store.of_user("other").erased) == ([("i", "like")], False)
    store.record([event("4")])  # who comes back starts anew
    assert store.of_user("u").events == [("i", "like")]


def test_a_second_store_on_the_same_database_sees_and_keeps_all(store: EventStore, store_url: str) -> None:
    store.record([event("1")])
    with EventStore(store_url) as second:
        assert second.record([event("1"), event("2", item="j")]) == ["duplicate", "recorded"]
    assert store.of_user("u").events == [("i", "like"), ("j", "like")]


def test_an_id_is_hashed_with_a_salt_of_the_store_s_own(store: EventStore, store_url: str, tmp_path: Path) -> None:
    def digests(of: EventStore) -> list[str]:
        with of._engine.connect() as connection:
            return list(connection.scalars(sa.select(store_module.erased.c.digest)))

    store.erase("u")
    with EventStore(store_url) as again:  # the salt is in the store
        assert again.of_user("u").erased
        again.erase("u")
        assert len(digests(again)) == 1
    with EventStore(f"sqlite:///{tmp_path}/another.sqlite") as other:
        other.erase("u")
        assert len({*digests(store), *digests(other), hashlib.sha256(b"u").hexdigest()}) == 3


def test_who_was_erased_before_stores_had_a_salt_stays_erased(store_url: str) -> None:
    engine = sa.create_engine(store_url)
    with engine.begin() as connection:
        store_module.erased.create(connection)
        connection.execute(sa.insert(store_module.erased), {"digest": hashlib.sha256(b"u").hexdigest()})
    engine.dispose()
    with EventStore(store_url) as store:
        assert store.of_user("u").erased
        assert not store.of_user("other").erased
        assert store.erase("u") == 0
        assert store.of_user("u").erased


RACE = """
import sys
from ccf_llm.serving.store import Event, EventStore
print("ready", flush=True)
for n, url in enumerate(sys.stdin):
    with EventStore(url.strip()) as store:
        store.erase("gone")
        print(store.record([Event(f"{sys.argv[1]}-{n}", "u", "i", "like")])[0], flush=True)
"""


def test_servers_that_open_an_empty_store_together_both_serve(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{n}.sqlite" for n in range(30)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", RACE, str(n)], **pipes) for n in range(2)]  # type: ignore[call-overload]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for url in urls:
        for process in processes:
            process.stdin.write(url + "\n")
            process.stdin.flush()
        assert [process.stdout.readline() for process in processes] == ["recorded\n"] * 2
    assert [process.communicate(timeout=30) for process in processes] == [("", "")] * 2
    for url in urls:
        with EventStore(url) as store:
            assert (len(store.of_user("u").events), store.of_user("gone").erased) == (2, True)


def test_threads_that_open_an_empty_store_together_share_its_salt(store_url: str) -> None:
    for _ in range(5):
        barrier = threading.Barrier(4)

        def open_and_erase(user: str, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(30)
            with EventStore(store_url) as mine:
                mine.erase(user)

        users = [secrets.token_hex(8) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_and_erase, users))
        with EventStore(store_url) as store:
            assert all(store.of_user(user).erased for user in users)
            store_module.metadata.drop_all(store._engine)


def test_many_threads_commit_in_groups_and_none_twice(store: EventStore) -> None:
    recorder = Recorder(store)
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(lambda n: recorder.record(event(str(n % 150), item=str(n % 150))), range(300)))
    outcomes = [future.result(timeout=30) for future in futures]
    assert (outcomes.count("recorded"), outcomes.count("duplicate")) == (150, 150)
    gone = recorder.erase("u")
    late = recorder.record(event("late"))
    recorder.close()
    assert (gone.result(), late.result()) == (150, "recorded")
    with pytest.raises(OverloadError):  # nobody would write it any more
        recorder.record(event("too late"))
    assert store.of_user("u").events == [("i", "like")]


def test_a_failing_store_tells_all_who_wait_and_the_next_ones_are_served(tmp_path: Path) -> None:
    store = EventStore(f"sqlite:///{tmp_path}/events.sqlite")
    recorder = Recorder(store)
    with sqlite3.connect(tmp_path / "events.sqlite") as other:
        other.execute("ALTER TABLE ccf_llm_events RENAME TO away")
    with pytest.raises(sa.exc.OperationalError):
        recorder.record(event("1")).result(timeout=30)
    with sqlite3.connect(tmp_path / "events.sqlite") as other:
        other.execute("ALTER TABLE away RENAME TO ccf_llm_events")
    other.close()
    assert recorder.record(event("1")).result(timeout=30) == "recorded"
    recorder.close()
    store.close()


def test_too_much_at_a_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventStore(f"sqlite:///{tmp_path}/events.sqlite") as store:
        recorder = Recorder(store, waiting=2)
        with sqlite3.connect(tmp_path / "events.sqlite") as other:
            other.execute("BEGIN EXCLUSIVE")  # the disk is busy
            with pytest.raises(OverloadError):
                _ = [recorder.record(event(str(n))) for n in range(10)]
            other.rollback()
        other.close()
        recorder.close()


def test_sqlite_is_durable_and_overwrites_what_is_erased(tmp_path: Path) -> None:
    with EventStore(f"sqlite:///{tmp_path}/events.sqlite") as store:
        with store._engine.connect() as connection:
            pragmas = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}
        store.record([event("1", user="somebody-with-a-name")])
        assert any(b"somebody-with-a-name" in path.read_bytes() for path in tmp_path.iterdir())
        store.erase("somebody-with-a-name")
        assert not any(b"somebody-with-a-name" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("then", ["next event", "next erasure", "close", "next server"])
def test_what_a_reader_keeps_in_the_log_is_overwritten_once_it_ends(
    then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def holds_the_name() -> bool:
        return any(b"somebody-with-a-name" in path.read_bytes() for path in tmp_path.iterdir())

    monkeypatch.setattr(store_module, "BUSY_MS", 1)
    store = EventStore(f"sqlite:///{tmp_path}/events.sqlite")
    store.record([event("1", user="somebody-with-a-name")])
    reader = sqlite3.connect(tmp_path / "events.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    assert len(reader.execute("SELECT * FROM ccf_llm_events").fetchall()) == 1
    with caplog.at_level(logging.WARNING, "ccf_llm.serving"):
        assert store.erase("somebody-with-a-name") == 1
        store.record([event("2")])  # the reader is still there
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "another reader holds up the event store"
    ]
    assert "somebody" not in caplog.text
    assert store.of_user("somebody-with-a-name").events == []
    assert holds_the_name()
    reader.close()
    if then == "next event":
        store.record([event("3")])
    elif then == "next erasure":
        store.erase("nobody")
    elif then == "close":
        store.close()
    else:
        with EventStore(f"sqlite:///{tmp_path}/events.sqlite") as second:
            second.record([event("3")])
    assert not holds_the_name()
    store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("sqlite:////no/such/folder/x.sqlite", "cannot open"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/x", "cannot open"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line_without_the_password(url: str, message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        EventStore(url)
    assert "\n" not in str(fault.value)
    assert "secret" not in str(fault.value)
