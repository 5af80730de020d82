"""A server for half an hour at the pace of people: they ask, like, leave and are erased while the model is reloaded.

    python benchmarks/serving/long.py runs/demo --json benchmarks/serving/results/long.json

Each of the people asks for ten recommendations, tells what they did with one of them, and thinks for some seconds.
After some rounds they have themselves erased, and another person comes. New histories fill the cache of prefixes long
before the warm-up ends. `grown_mb` is how much larger the memory's median is in the last third of the time after the
warm-up than in the first. Exit code 1 where anything failed, or memory has grown by more than 5 %.
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

import numpy as np
import psutil

from live import LightClient, LiveServer
from load import LATE_MS, Tally, busy_cores, machine

ADMIN = "the-admin"
ROUNDS = 12
"""What a person asks before they leave."""
KINDS = ("like", "like", "purchase", "view", "dislike")
SAMPLES = 180
GROWTH = 0.05


@dataclass
class Visits(Tally):
    """What people met, and what they left."""

    events: int = 0
    erased: int = 0
    reloads: int = 0


@dataclass
class Watched:
    """Memory of the server over time."""

    pid: int
    minutes: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def look(self, since: float) -> None:
        """Take a sample."""
        self.minutes.append(round((time.monotonic() - since) / 60, 2))
        self.megabytes.append(round(psutil.Process(self.pid).memory_info().rss / 2**20, 1))

    def grown(self, warm_up: float) -> float:
        """Megabytes between the first and the last third after the warm-up, by their medians."""
        third = max(1, sum(minute >= warm_up for minute in self.minutes) // 3)
        after = self.megabytes[-3 * third :]
        return round(float(np.median(after[-third:]) - np.median(after[:third])), 1)


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model or of a run")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=10, help="minutes after which memory is to be flat")
    parser.add_argument("--pause", type=float, default=10, help="seconds that a person thinks, on average")
    parser.add_argument("--reload", type=float, default=5, help="minutes between two reloads")
    parser.add_argument("--deadline-ms", type=int, default=1500)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    others = busy_cores()
    with tempfile.TemporaryDirectory(prefix="ccf-llm-long-") as folder:
        log = Path(folder) / "server.log"
        store = ("--store", f"sqlite:///{folder}/events.sqlite")
        with LiveServer(arguments.model, *store, log=log, environment={"CCF_LLM_ADMIN_KEY": ADMIN}) as server:
            visits, watched = stay(server, arguments)
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
    figures = summary(visits, watched, arguments) | {"tracebacks": tracebacks, "cores_busy_before": others}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if not (figures["errors"] or tracebacks) and figures["flat"] else 1


def stay(server: LiveServer, arguments: argparse.Namespace) -> tuple[Visits, Watched]:
    """All people until the end, and the administrator."""
    visits, watched, started = Visits(), Watched(server.pid), time.monotonic()
    end = started + 60 * arguments.minutes
    people = [
        threading.Thread(target=person, args=(server.url, seed, end, arguments, visits))
        for seed in range(arguments.people)
    ]
    for thread in people:
        thread.start()
    reload_at = started + 60 * arguments.reload
    while any(thread.is_alive() for thread in people):
        watched.look(started)
        if reload_at < min(time.monotonic(), end):
            reload_at += 60 * arguments.reload
            admin = LightClient(server.url, ADMIN, timeout=300)  # an idle connection would be closed by now
            status, answer, _ = admin.ask("POST", "/v1/admin/reload")
            admin.close()
            visits.reloads += status == 200
            if status != 200:
                visits.errors.append(f"reload: {answer}")
        time.sleep(60 * arguments.minutes / SAMPLES)
    return visits, watched


def person(url: str, seed: int, end: float, arguments: argparse.Namespace, visits: Visits) -> None:
    """People who come one after the other."""
    client, draw, rounds = LightClient(url), random.Random(seed), 0
    think = 1 / arguments.pause
    time.sleep(draw.uniform(0, arguments.pause))  # people do not come in the same moment
    while time.monotonic() < end:
        user, rounds = f"long-{seed}-{rounds // ROUNDS}", rounds + 1
        try:
            shown = recommended(client, user, arguments.deadline_ms, visits)
            if shown:
                event = {"key": str(uuid.uuid4()), "user_id": user, "item_id": draw.choice(shown)}
                visits.events += told(client, "POST", "/v1/events", event | {"kind": draw.choice(KINDS)}, visits)
            if rounds % ROUNDS == 0:
                visits.erased += told(client, "DELETE", f"/v1/users/{user}", None, visits)
        except (OSError, http.client.HTTPException) as error:
            visits.errors.append(repr(error))
        client.close()  # who thinks longer than the server keeps a connection comes anew
        time.sleep(min(draw.expovariate(think), 6 * arguments.pause, max(0.0, end - time.monotonic())))


def recommended(client: LightClient, user: str, deadline_ms: int, visits: Visits) -> list[str]:
    """Ids of what is shown to a person; none where the server is too busy."""
    started = time.monotonic()
    ask = {"user_id": user, "order": "fused", "deadline_ms": deadline_ms}
    status, answer, _ = client.ask("POST", "/v1/recommend", ask)
    taken = 1000 * (time.monotonic() - started)
    with visits.lock:
        if status == 503:
            visits.rejected += 1
        elif status != 200:
            visits.errors.append(str(answer))
        else:
            visits.milliseconds.append(taken)
            visits.degraded += answer["degraded"]
            visits.late += taken > deadline_ms + LATE_MS
    return [item["item_id"] for item in answer["items"]] if status == 200 else []


def told(client: LightClient, method: str, path: str, body: Any, visits: Visits) -> bool:
    """Whether the server has taken it in; 503 is no fault."""
    status, answer, _ = client.ask(method, path, body)
    if status not in (200, 201, 503):
        visits.errors.append(str(answer))
    return status in (200, 201)


def summary(visits: Visits, watched: Watched, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    grown = watched.grown(arguments.warm_up)
    return visits.waits() | {
        "degraded": visits.degraded,
        "rejected": visits.rejected,
        "late": visits.late,
        "events": visits.events,
        "erased": visits.erased,
        "reloads": visits.reloads,
        "errors": len(visits.errors),
        "first_errors": visits.errors[:3],
        "grown_mb": grown,
        "flat": grown <= GROWTH * watched.megabytes[-1],
        "minutes": watched.minutes,
        "memory_mb": watched.megabytes,
        "people": arguments.people,
        "pause_seconds": arguments.pause,
        "warm_up_minutes": arguments.warm_up,
        "deadline_ms": arguments.deadline_ms,
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
