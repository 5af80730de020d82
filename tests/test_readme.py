"""The README's figures come from committed result files. Its commands are run by `.ci/run`, in order, as written."""

import json
import re
from pathlib import Path

import printed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "benchmarks" / "ml-100k").glob("seed-*.json"))


def test_the_table_is_the_one_of_the_committed_results() -> None:
    assert "**CCF-LLM**" in printed.table_of(ROOT / "README.md", "table", "table.py", *RESULTS)


def test_the_speed_table_is_the_one_of_the_committed_results() -> None:
    files = sorted((ROOT / "benchmarks" / "speed").glob("*.json"))
    assert "shared prefix" in printed.table_of(ROOT / "README.md", "speed", "speed.py", *files)
    assert all(json.loads(file.read_text(encoding="utf-8"))["made"]["commit"] for file in files)


def test_results_say_how_they_came_about() -> None:
    assert len(RESULTS) >= 3
    seeds = set()
    for file in RESULTS:
        result = json.loads(file.read_text(encoding="utf-8"))
        assert {"dataset", "split", "seed", "rows", "models", "made", "config"} <= result.keys()
        assert result["made"]["commit"]
        assert result["config"]["seed"] == result["seed"]
        seeds.add(result["seed"])
    assert len(seeds) == len(RESULTS)


def test_its_files_exist_and_its_two_commands_come_first() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (ROOT / link).is_file(), link
    first = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
