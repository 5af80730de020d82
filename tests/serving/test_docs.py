"""The examples of docs/serving.md run, and its figures come from committed files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx

from live import LiveServer

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
# The tiny model has other items than the demo.
NAMES = {'"50"': '"i1"', '"183"': '"i2"', '"89"': '"i3"', "star+wars": "night", "star wars": "night"}


def example(name: str, server: LiveServer) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- /{name} -->", DOCS, flags=re.DOTALL)
    assert found is not None
    text = found[1].replace("http://127.0.0.1:8000", server.url)
    for theirs, ours in NAMES.items():
        text = text.replace(theirs, ours)
    return text


def test_the_curl_example(live: LiveServer) -> None:
    script = example("curl", live).replace("curl -s", "curl -s --fail-with-body -w '\\n'")
    run = subprocess.run(["bash", "-ec", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    search, recommended, event, personal, erased = (json.loads(line) for line in run.stdout.splitlines())
    assert search["items"]
    assert len(recommended["items"]) == 5
    assert event == {"key": "0b1f6a52-like-50", "duplicate": False}
    assert (personal["history"], personal["order"]) == (1, "cf")
    assert erased == {"events": 1}


def test_the_rerank_example(live: LiveServer) -> None:
    first = httpx.get(f"{live.url}/v1/items", params={"query": "night"}).json()["items"][0]["title"]
    script = example("rerank", live).replace('"1"', '"i4"').replace("Return of the Jedi", first)
    run = subprocess.run(["bash", "-ec", script], capture_output=True, text=True)
    results = json.loads(run.stdout)["results"]
    assert len({result["index"] for result in results}) == 2
    assert all(result["document"]["text"] for result in results)


def test_the_client_example(live: LiveServer) -> None:
    run = subprocess.run([sys.executable, "-c", example("client", live)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"^ [1-5] 0\.\d\d ", run.stdout, flags=re.MULTILINE)) == 5


def test_the_kill_test_lost_nothing() -> None:
    for file in (ROOT / "benchmarks" / "serving" / "results").glob("kill-*.json"):
        figures = json.loads(file.read_text(encoding="utf-8"))
        assert (figures["lost"], figures["doubled"], figures["failures"]) == (0, 0, [])
        assert figures["stored"] == figures["events"] == 20_000
        assert figures["kills"] == 10
