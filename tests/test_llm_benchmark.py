"""The committed language-model results on the published MovieLens-1M split: chosen on valid, measured once on test."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccf_llm.data.named import open_dataset
from ccf_llm.experiments.compare import seeded, write_table
from ccf_llm.experiments.config import LATE_FUSION, check_config, load_config
from ccf_llm.experiments.results import ResultFolder, row_config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "ml-1m"
CONFIG = load_config(ROOT / "configs" / "ml-1m.yaml")
SEARCHES = sorted((FOLDER / "llm").glob("search-*.json"))
ROWS = [*CONFIG.methods, LATE_FUSION]
RESULTS = [path for row in ROWS for path in sorted((FOLDER / row).glob("seed-*.json"))]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rounded(found: Any) -> Any:
    """Without the last digits, in which processors add up differently."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    if isinstance(found, list):
        return [rounded(value) for value in found]
    return round(found, 12) if isinstance(found, float) else found


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_a_stage_has_the_settings_that_are_best_on_valid(path: Path) -> None:
    found = read(path)
    assert len(found["trials"]) == 3
    best = max(found["trials"], key=lambda trial: trial["valid"]["auc"])
    assert best["number"] == found["best"]
    stage, base = CONFIG.stages[found["stage"]], found["base"]
    assert stage.batch_rows == best["settings"]["batch_rows"]
    for part in stage.train:
        rate = best["settings"]["rate"] * base[f"{part}_rate"]
        assert getattr(stage, f"{part}_rate") == pytest.approx(rate, rel=0.01)


def test_every_stage_was_searched() -> None:
    assert {read(path)["stage"] for path in SEARCHES} == set(CONFIG.stages)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_row_was_measured_with_this_configuration(path: Path) -> None:
    result = read(path)
    row, seed = result["method"], result["seed"]
    assert (row, f"seed-{seed}") == (path.parent.name, path.stem)
    made_with = check_config(result["config"], str(path))
    assert row_config(made_with, row) == row_config(seeded(CONFIG, seed), row)
    assert (result["rows"]["test"], result["uauc_users"]) == (7331, 224)
    assert result["made"]["commit"]
    assert result["made"]["machine"]
    scores = np.load(path.with_suffix(".npy"), allow_pickle=False)
    assert scores.shape == (7331,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("row", ROWS)
def test_what_a_result_keeps_of_its_settings_is_enough_to_know_it_again(row: str) -> None:
    kept = row_config(CONFIG, row)
    assert row_config(check_config(kept, row), row) == kept


def test_every_row_was_measured_or_is_named_as_not_run() -> None:
    table = read(FOLDER / "table.json")
    shown = {row["method"]: row["seeds"] for row in table["rows"] if not row["published"]}
    for row in ROWS:
        seeds = [read(path)["seed"] for path in RESULTS if path.parent.name == row]
        assert shown.get(row, []) == seeds
        assert (seeds == [0, 1, 2]) != any(words.startswith(f"{row} (") for words in table["missing"])
    assert all(shown[row] == [0, 1, 2] for row in ("ccf_llm", "tallrec", LATE_FUSION))


@pytest.mark.skipif(
    "CCF_LLM_ML1M" not in os.environ, reason="set CCF_LLM_ML1M to the folder of the published MovieLens-1M split"
)
def test_the_table_is_made_anew_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(FOLDER / "table.json")
    written: list[dict[str, Any]] = []
    monkeypatch.setattr("ccf_llm.experiments.compare.write_comparison", lambda found, path, plot: written.append(found))
    write_table(CONFIG, open_dataset(os.environ["CCF_LLM_ML1M"]), ResultFolder(FOLDER), [0, 1, 2])
    assert [rounded(one) for one in json.loads(json.dumps(written))] == [rounded(table)]
