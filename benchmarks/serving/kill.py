"""Send events while the server is killed again and again; none that it acknowledged may be lost or counted twice.

    python benchmarks/serving/kill.py runs/demo --events 20000 --kills 10 --json kill.json

Each client sends an event until it is acknowledged, with the same key. After every SIGKILL the store is compared with
what was acknowledged so far; in the end it must hold every event exactly once. Exit code 1 where it does not.
"""

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from ccf_llm.serving.served import model_folder
from live import LightClient, LiveServer

CLIENTS = 32
USERS = 200


@dataclass
class Tally:
    """What the clients know."""

    todo: list[dict[str, str]]
    acknowledged: set[str] = field(default_factory=set)
    repeated: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model or of a run")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--store", help="URL of the event store; default: SQLite in a temporary folder")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccf-llm-kill-") as folder:
        store = arguments.store or f"sqlite:///{folder}/events.sqlite"
        server = LiveServer(arguments.model, "--store", store, log=Path(folder) / "server.log")
        figures = torment(server, store, events_for(arguments.model, arguments.events), arguments.kills)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if figures["lost"] or figures["doubled"] or figures["failures"] else 0


def events_for(model: Path, n: int) -> list[dict[str, str]]:
    """`n` events of `USERS` users over the model's items."""
    items = pl.read_parquet(model_folder(model) / "items.parquet")["item_id"]
    kinds = ("like", "like", "dislike")
    return [
        {
            "key": str(uuid.uuid4()),
            "user_id": f"kill-{i % USERS}",
            "item_id": items[i % len(items)],
            "kind": kinds[i % 3],
        }
        for i in range(n)
    ]


def torment(server: LiveServer, store: str, events: list[dict[str, str]], kills: int) -> dict[str, Any]:
    """Send everything, killing the server `kills` times on the way."""
    started = time.monotonic()
    tally = Tally(todo=list(events))
    lost: set[str] = set()
    server.start()
    clients = [threading.Thread(target=send, args=(server.url, tally)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for kill in range(kills):
        # The kills are spread over the events; there are always requests under way.
        while len(tally.acknowledged) < (kill + 0.5) / kills * len(events) and any(c.is_alive() for c in clients):
            time.sleep(0.002)
        server.kill()
        time.sleep(0.05)  # let the clients take in what was acknowledged before the kill
        lost |= tally.acknowledged.copy() - set(kept(store))
        server.start()
    for client in clients:
        client.join()
    server.stop()
    found = kept(store)
    lost |= {event["key"] for event in events} - set(found)
    return {
        "events": len(events),
        "kills": kills,
        "acknowledged": len(tally.acknowledged),
        "found_already_there": tally.repeated,
        "stored": len(found),
        "lost": len(lost),
        "doubled": len(found) - len(set(found)),
        "failures": tally.failures,
        "seconds": round(time.monotonic() - started, 1),
        "store": sa.make_url(store).get_backend_name(),
    }


def send(url: str, tally: Tally) -> None:
    """One client: takes events and sends each until it is acknowledged."""
    client = LightClient(url, timeout=30)
    while True:
        try:
            event = tally.todo.pop()
        except IndexError:
            client.close()
            return
        while not sent(client, event, tally):
            time.sleep(0.1)


def sent(client: LightClient, event: dict[str, str], tally: Tally) -> bool:
    """Whether the event is done with: acknowledged, or refused for good."""
    try:
        status, answer, _ = client.ask("POST", "/v1/events", event)
    except (OSError, http.client.HTTPException):
        return False
    if status in (200, 201):
        tally.acknowledged.add(event["key"])
        with tally.lock:
            tally.repeated += answer["duplicate"]
    elif status != 503:
        tally.failures.append(str(answer))
    return status != 503


def kept(store: str) -> list[str]:
    """The keys in the store, read past the server."""
    engine = sa.create_engine(store)
    try:
        with engine.connect() as connection:
            return list(connection.scalars(sa.text("SELECT key FROM ccf_llm_events WHERE user_id LIKE 'kill-%'")))
    finally:
        engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
