"""The committed CF results on the published MovieLens-1M split: settings chosen on valid, measured once on test."""

import json
from pathlib import Path
from typing import Any

import pytest

import printed
from ccf_llm.cf.load import FITTED
from ccf_llm.config import CFSettings, load_config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "ml-1m" / "cf"
CF = load_config(ROOT / "configs" / "ml-1m-cf.yaml").cf


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", list(FITTED))
def test_the_configuration_has_the_settings_that_are_best_on_valid(method: str) -> None:
    found = read(f"search-{method}.json")
    assert len(found["trials"]) == 12
    best = max(found["trials"], key=lambda trial: trial["valid"]["auc"])
    assert best["number"] == found["best"]
    chosen = CF.of(method).model_dump()
    assert {name: chosen[name] for name in best["settings"]} == pytest.approx(best["settings"], rel=0.005)
    assert "test" not in json.dumps(found["trials"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_seed_was_measured_with_this_configuration(seed: int) -> None:
    result = read(f"seed-{seed}.json")
    assert CFSettings.model_validate(result["config"]["cf"]) == CF  # a younger setting counts as its default
    assert result["config"]["seed"] == seed
    assert result["seed"] == seed
    assert result["rows"]["test"] == 7331
    assert result["made"]["commit"]
    assert result["made"]["machine"]
    assert set(result["models"]) == set(result["valid"]) == {"item_user_mean", *FITTED}
    for method, figures in result["models"].items():
        assert figures["uauc_users"] == 224
        assert 0.6 < figures["auc"] < 0.8, method
    assert result["models"]["item_user_mean"]["auc"] == pytest.approx(0.7326, abs=0.001)


def test_the_readme_has_the_table_of_the_committed_results() -> None:
    printed.table_of(FOLDER / "README.md", "table", "table.py", *sorted(FOLDER.glob("seed-*.json")))
