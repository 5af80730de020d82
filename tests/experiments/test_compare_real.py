"""A comparison with the first layers of the real SmolLM2-135M on MovieLens-100K, a few steps long."""

from pathlib import Path

import numpy as np
import pytest

from ccf_llm.experiments.compare import compare_run, write_table
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.folder import open_split
from ccf_llm.io.files import read_json

SHIPPED = Path(__file__).parents[2] / "configs" / "compare-ml-100k.yaml"


@pytest.mark.llm
@pytest.mark.slow
def test_a_small_comparison_on_movielens(tmp_path: Path) -> None:
    few = ["rows=16", "valid_rows=40", "evaluations=1"]
    short = [f"stages.{stage}.{setting}" for stage in ("text", "mapping") for setting in few]
    size = ["data.split.max_rows_per_user=1", "cf.compare=[]", "cf.mf.max_epochs=3", "prompt.history.items=5"]
    size += ["llm.layers=8"]
    brief = [f"methods.{name}.prompt.history={{items: 2, step: 1}}" for name in ("tallrec", "collm_mf")]
    config = load_config(SHIPPED, [*size, *short, *brief, f"output={tmp_path}/run"])
    rows = ["item_user_mean", "mf", "tallrec", "collm_mf", "late_fusion"]
    store = compare_run(config, seeds=[0], only=rows, say=lambda line: None)
    table = read_json(store.table(".json"))
    assert {line["method"] for line in table["rows"]} == set(rows)
    test = open_split(config).rows("test")
    assert np.bincount(test.users).max() == 1
    for line in table["rows"]:
        assert store.scores(line["method"], 0).shape == test.users.shape
        assert 0.3 < line["auc"] < 0.9
    by_name = {line["method"]: line for line in table["rows"]}
    assert by_name["mf"]["auc"] > 0.6
    assert by_name["collm_mf"]["trainable"] > by_name["tallrec"]["trainable"] > 100_000
    assert by_name["collm_mf"]["train_minutes"] > by_name["tallrec"]["train_minutes"] > 0
    assert "icl (seed 0)" in table["missing"]
    assert write_table(config, open_split(config), store) == table
