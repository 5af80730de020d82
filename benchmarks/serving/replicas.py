"""People who ask and like while one of several replicas is killed; no like that was acknowledged may be lost or unseen.

    python benchmarks/serving/replicas.py runs/demo --store postgresql+psycopg://user@host/database --json replicas.json

Each client is one new person after the other: asks for ten recommendations, likes an item until that is acknowledged,
and asks what is known of them, of whichever replica answers. Halfway a replica gets SIGKILL. `failed` counts requests
without a good answer and `failed_until_s` how long after the kill the last one came; `unseen` are likes that the next
answer did not know, `logged` the logs of Ray that name a person. Exit code 1 where any of these is, a like was lost or
doubled, or the replica was not replaced.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from kill import kept
from live import START_SECONDS, LightClient, LiveServer
from load import Tally, busy_cores, catalogue, machine

BAD = ("lost", "doubled", "unseen", "logged")
LOGS = Path(tempfile.gettempdir()) / "ray"
"""Where Ray keeps its logs."""


@dataclass
class Visits(Tally):
    """What people met, and what they left."""

    acknowledged: set[str] = field(default_factory=set)
    failed: list[float] = field(default_factory=list)
    unseen: int = 0


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model or of a run")
    parser.add_argument("--store", required=True, help="URL of an empty event store in PostgreSQL")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--deadline-ms", type=int, default=1500)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    others = busy_cores()
    with tempfile.TemporaryDirectory(prefix="ccf-llm-replicas-") as folder:
        options = ("--engine", "ray", "--replicas", str(arguments.replicas), "--store", arguments.store)
        with LiveServer(arguments.model, *options, log=Path(folder) / "server.log") as server:
            figures = stay(server, arguments) | {"cores_busy_before": others, "machine": machine()}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if any(figures[name] for name in BAD) or not figures["replaced"] else 0


def stay(server: LiveServer, arguments: argparse.Namespace) -> dict[str, Any]:
    """All people until the end, and the kill."""
    visits, end = Visits(), time.monotonic() + arguments.seconds
    items = catalogue(LightClient(server.url))
    people = [
        threading.Thread(target=person, args=(server.url, seed, items, end, arguments.deadline_ms, visits))
        for seed in range(arguments.clients)
    ]
    for thread in people:
        thread.start()
    time.sleep(arguments.seconds / 2)
    there = replicas_of(server)
    victim = there.pop()
    victim.kill()
    killed = time.monotonic()
    for thread in people:
        thread.join()
    while len(replicas_of(server)) < arguments.replicas and time.monotonic() < killed + START_SECONDS:
        time.sleep(0.1)
    found, logs = kept(arguments.store), LOGS.glob(f"session_*_{server.pid}/logs/**/*")
    return visits.waits() | {
        "degraded": visits.degraded,
        "failed": len(visits.failed),
        "failed_until_s": round(max([moment - killed for moment in visits.failed if moment > killed], default=0.0), 1),
        "acknowledged": len(visits.acknowledged),
        "lost": len(visits.acknowledged - set(found)),
        "doubled": len(found) - len(set(found)),
        "unseen": visits.unseen,
        "logged": sum(b"/users/kill-" in log.read_bytes() for log in logs if log.is_file()),
        "replaced": len(replicas_of(server)) == arguments.replicas,
        "replicas": arguments.replicas,
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "deadline_ms": arguments.deadline_ms,
    }


def replicas_of(server: LiveServer) -> list[psutil.Process]:
    """The processes that hold the model."""
    below = psutil.Process(server.pid).children(recursive=True)
    return [process for process in below if is_replica(process)]


def is_replica(process: psutil.Process) -> bool:
    """By the title that Ray gives it."""
    try:
        title = " ".join(process.cmdline())
        return title.startswith("ray::") and "ServeReplica:" in title
    except psutil.Error:
        return False


def person(url: str, seed: int, items: list[str], end: float, deadline_ms: int, visits: Visits) -> None:
    """People who come one after the other."""
    client, draw, number = LightClient(url), random.Random(seed), 0
    while time.monotonic() < end:
        user, number, item = f"kill-{seed}-{number}", number + 1, draw.choice(items)
        started = time.monotonic()
        answer = asked(client, "POST", "/v1/recommend", {"user_id": user, "deadline_ms": deadline_ms}, visits)
        if answer is not None:
            with visits.lock:
                visits.milliseconds.append(1000 * (time.monotonic() - started))
                visits.degraded += answer["degraded"]
        event = {"key": str(uuid.uuid4()), "user_id": user, "item_id": item, "kind": "like"}
        while asked(client, "POST", "/v1/events", event, visits) is None:
            if time.monotonic() > end + START_SECONDS:
                return
        visits.acknowledged.add(event["key"])
        known = asked(client, "GET", f"/v1/users/{user}", None, visits)
        visits.unseen += known is not None and [like["item_id"] for like in known["likes"]] != [item]


def asked(client: LightClient, method: str, path: str, body: Any, visits: Visits) -> Any:
    """The answer; None, counted and after a pause, where there is no good one."""
    try:
        status, answer, _ = client.ask(method, path, body)
    except (OSError, http.client.HTTPException):
        status, answer = 0, None
    if status in (200, 201):
        return answer
    with visits.lock:
        visits.failed.append(time.monotonic())
    time.sleep(0.1)
    return None


if __name__ == "__main__":
    sys.exit(main())
