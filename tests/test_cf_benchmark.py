"""The committed CF results on the published MovieLens-1M split: settings chosen on valid, measured once on test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccf_llm.cf.kinds import FITTED, RANKERS
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.settings import SHARED, CFSettings
from ccf_llm.experiments.config import load_config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "ml-1m" / "cf"
CF = load_config(ROOT / "configs" / "ml-1m.yaml").cf


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


OF_LABELS = [method for method in FITTED if method not in RANKERS]  # the others rank: benchmarks/ranking
SEARCHED = [method for method in OF_LABELS if method != "ensemble" and method not in SHARED]


@pytest.mark.parametrize("method", SEARCHED)
def test_the_configuration_has_the_settings_that_are_best_on_valid(method: str) -> None:
    found = read(f"search-{method}.json")
    assert len(found["trials"]) == 12
    best = max(found["trials"], key=lambda trial: trial["valid"]["auc"])
    assert best["number"] == found["best"]
    chosen = CF.of(method).model_dump()
    assert {name: chosen[name] for name in best["settings"]} == pytest.approx(best["settings"], rel=0.005)
    assert "test" not in json.dumps(found["trials"])


def test_the_members_of_the_ensemble_have_what_was_chosen_for_their_kinds() -> None:
    shared = CF.ensemble.model_dump(include={"dim", "learning_rate", "l2"})
    assert all(CF.of(kind).model_dump(include=set(shared)) == shared for kind in CF.ensemble.members)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", [ItemUserMean.name, *OF_LABELS])
def test_each_row_was_measured_with_this_configuration(method: str, seed: int) -> None:
    result = json.loads((FOLDER.parent / method / f"seed-{seed}.json").read_text(encoding="utf-8"))
    settings = CFSettings.model_validate(result["config"]["cf"])  # a younger setting counts as its default
    assert method == ItemUserMean.name or settings.of(method) == CF.of(method)
    assert result["seed"] == result["config"]["seed"] == seed
    assert result["rows"]["test"] == 7331
    assert result["uauc_users"] == 224
    assert result["made"]["commit"]
    assert result["made"]["machine"]
    scores = np.load(FOLDER.parent / method / f"seed-{seed}.npy", allow_pickle=False)
    assert scores.shape == (7331,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("method", [ItemUserMean.name, *OF_LABELS])
def test_the_table_has_the_mean_of_the_committed_results(method: str) -> None:
    table = json.loads((FOLDER.parent / "table.json").read_text(encoding="utf-8"))
    [row] = [row for row in table["rows"] if row["method"] == method and not row["published"]]
    files = [FOLDER.parent / method / f"seed-{seed}.json" for seed in (0, 1, 2)]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for figure in ("auc", "uauc"):
        assert row[figure] == pytest.approx(np.mean([result[figure] for result in results]), abs=1e-4)
