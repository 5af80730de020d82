"""Load a running server with concurrent clients and print what they met.

    python benchmarks/serving/load.py --url http://127.0.0.1:8000 --clients 64 --seconds 60 --json load.json

Each client is a person of a few liked items who asks for ten recommendations, and asks again once answered; told 503,
it waits for Retry-After. `late` counts answers that came more than 200 ms after their deadline. The clients may run on
the same machine as the server, and take part of its cores then.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import psutil

from live import LightClient

LATE_MS = 200
WORDS = ("the", "a", "of", "in", "man", "love", "night", "(19")


@dataclass
class Tally:
    """What the clients met."""

    milliseconds: list[float] = field(default_factory=list)
    degraded: int = 0
    rejected: int = 0
    late: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def waits(self) -> dict[str, float]:
        """How many were answered, and how long they waited."""
        p50, p95, p99 = np.percentile(self.milliseconds or [0.0], [50, 95, 99]).round(1).tolist()
        longest = round(max(self.milliseconds, default=0.0), 1)
        return {"requests": len(self.milliseconds), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": longest}


def main() -> int:
    """Run; the exit code is 1 where there was any error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--order", choices=("fused", "cf", "text", "next"), default="fused")
    parser.add_argument("--deadline-ms", type=int, default=1500)
    parser.add_argument("--likes", type=int, default=5, help="liked items of each person")
    parser.add_argument("--same", action="store_true", help="each client stays the same person")
    parser.add_argument("--key", help="API key")
    parser.add_argument("--pid", type=int, help="process id of the server, to watch its memory")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    figures = load(arguments)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if figures["errors"] else 0


def load(arguments: argparse.Namespace) -> dict[str, Any]:
    """All clients for the time given."""
    others = busy_cores()
    items = catalogue(LightClient(arguments.url, arguments.key))
    tally, memory = Tally(), []
    end = time.monotonic() + arguments.seconds
    people = [threading.Thread(target=person, args=(items, i, end, arguments, tally)) for i in range(arguments.clients)]
    for thread in people:
        thread.start()
    while any(thread.is_alive() for thread in people):
        if arguments.pid is not None:
            memory.append(round(psutil.Process(arguments.pid).memory_info().rss / 2**20, 1))
        time.sleep(max(arguments.seconds / 20, 0.2))
    return tally.waits() | {
        "degraded": tally.degraded,
        "rejected": tally.rejected,
        "late": tally.late,
        "errors": len(tally.errors),
        "first_errors": tally.errors[:3],
        "memory_mb": memory,
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "order": arguments.order,
        "deadline_ms": arguments.deadline_ms,
        "cores_busy_before": others,
        "machine": machine(),
    }


def person(items: list[str], seed: int, end: float, arguments: argparse.Namespace, tally: Tally) -> None:
    """One client until the end."""
    client = LightClient(arguments.url, arguments.key)
    draw = random.Random(seed)
    history = draw.sample(items, min(arguments.likes, len(items)))
    time.sleep(draw.uniform(0, 1))  # people do not come in the same moment
    while time.monotonic() < end:
        if not arguments.same:
            history = draw.sample(items, min(arguments.likes, len(items)))
        ask = {"history": history, "order": arguments.order, "deadline_ms": arguments.deadline_ms}
        started = time.monotonic()
        try:
            status, answer, headers = client.ask("POST", "/v1/recommend", ask)
        except (OSError, http.client.HTTPException) as error:
            tally.errors.append(repr(error))
            continue
        taken = 1000 * (time.monotonic() - started)
        if status == 503:
            with tally.lock:
                tally.rejected += 1
            # As a polite client does, and not all at the same moment.
            time.sleep(float(headers["retry-after"]) * draw.uniform(1, 1.5))
        elif status != 200:
            tally.errors.append(str(answer))
        else:
            with tally.lock:
                tally.milliseconds.append(taken)
                tally.degraded += answer["degraded"]
                tally.late += taken > arguments.deadline_ms + LATE_MS
    client.close()


def catalogue(client: LightClient) -> list[str]:
    """Ids of a few hundred items."""
    found: dict[str, None] = {}
    for word in WORDS:
        status, answer, _ = client.ask("GET", f"/v1/items?{urlencode({'query': word, 'limit': 100})}")
        if status != 200:
            sys.exit(f"the server does not give its items: {answer}")
        found |= dict.fromkeys(item["item_id"] for item in answer["items"])
    client.close()
    if not found:
        sys.exit("the server's catalogue has no titles with common words; change WORDS")
    return list(found)


def busy_cores() -> float:
    """How many cores were busy with anything else in the second before: where it is not near 0, measure again."""
    return round(psutil.cpu_percent(interval=1) / 100 * (psutil.cpu_count() or 1), 2)


def machine() -> dict[str, Any]:
    """What the figures were measured on, without its name."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
