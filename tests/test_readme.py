"""Figures of pages come from committed result files. The README's commands are run by `.ci/run`, in order."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "benchmarks" / "ml-100k").glob("seed-*.json"))


def script(name: str, *arguments: str | Path) -> str:
    """What a script of `benchmarks` prints."""
    run = [sys.executable, str(ROOT / "benchmarks" / name), *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()


def test_the_tables_of_all_pages_are_those_of_the_committed_results() -> None:
    assert script("pages.py", "--check") == ""


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_a_table_of_the_ranking_task_is_printed_with_its_own_columns(tmp_path: Path) -> None:
    row = {
        "method": "ccf_llm",
        "llm": "smollm2-135m",
        "cf": "ease",
        "ours": True,
        "seeds": [0, 1, 2],
        "users": 942,
        "ndcg@10": 0.2,
        "ndcg@10_ci": [0.19, 0.21],
        "ndcg_sd": 0.001,
        "vs_retriever": {"ndcg": [0.01, 0.002, 0.018]},
        "vs_main": None,
        "recall@10": 0.15,
        "mrr@10": 0.4,
        "llm_ndcg": 0.1,
        "llm_weight": 0.5,
        "train_minutes": 12.0,
        "peak_mb": 900.0,
        "coverage@10": 0.3,
    }
    table = {"task": "ranking", "main": "ccf_llm", "baseline": "ease", "lists": {"k": 10}, "rows": [row]}
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
    lines = script("comparison.py", tmp_path / "table.json").splitlines()
    assert lines[0] == (
        "| method | seeds | users | NDCG@10 | interval | against ease | Recall@10 | LLM alone | LLM's weight | "
        "coverage | shared by two | most shown | minutes |"
    )
    assert lines[2:] == [
        "| **ccf_llm** | 3 | 942 | 0.2000 ± 0.0010 | 0.1900 to 0.2100 | +0.010 (+0.002 to +0.018) | 0.1500 | 0.1000 | "
        "0.5000 | 0.3000 | \N{EN DASH} | \N{EN DASH} | 12.0 |"
    ]


def test_the_speed_results_say_how_they_came_about() -> None:
    files = sorted((ROOT / "benchmarks" / "speed").glob("*.json"))
    assert files
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


def test_its_two_commands_come_first() -> None:
    first = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
