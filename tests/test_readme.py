"""The README's figures come from committed result files. Its commands are run by `.ci/run`, in order, as written."""

import json
import re
from pathlib import Path

import pytest

import printed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "benchmarks" / "ml-100k").glob("seed-*.json"))


def test_the_table_is_the_one_of_the_committed_results() -> None:
    assert "**CCF-LLM**" in printed.table_of(ROOT / "README.md", "table", "table.py", *RESULTS)


@pytest.mark.parametrize("name", ["ml-100k", "ml-latest-small"])
def test_the_ranking_tables_are_those_of_the_committed_results(name: str) -> None:
    table = ROOT / "benchmarks" / "ranking" / name / "table.json"
    if table.is_file():
        assert "**ccf_llm**" in printed.table_of(ROOT / "README.md", f"ranking {name}", "comparison.py", table)
    else:
        place = f"<!-- ranking {name} -->\n(to be filled from benchmarks/ranking/{name}/table.json)\n"
        assert place in README


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
    (tmp_path / "page.md").write_text(
        "<!-- ranking -->\n"
        "| method | seeds | users | NDCG@10 | interval | against ease | Recall@10 | LLM alone | LLM's weight | "
        "coverage | shared by two | most shown | minutes |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        "| **ccf_llm** | 3 | 942 | 0.2000 ± 0.0010 | 0.1900 to 0.2100 | +0.010 (+0.002 to +0.018) | 0.1500 | 0.1000 | "
        "0.5000 | 0.3000 | \N{EN DASH} | \N{EN DASH} | 12.0 |\n<!-- /ranking -->\n",
        encoding="utf-8",
    )
    assert printed.table_of(tmp_path / "page.md", "ranking", "comparison.py", tmp_path / "table.json")


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
