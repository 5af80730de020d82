"""A folder that version 0.1.0 (format 1) saved is read, and answers what it answered then."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ccf_llm.data.named import open_dataset
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Recommender

GOLDEN = Path(__file__).parents[1] / "golden"
ALIKE = 5e-6
"""fp32 on another processor: made with AVX512, AVX2 differs by 1.2e-6 (docs/trust.md, what may differ)."""


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy in the current folder, as the model names its base model and its data by relative paths."""
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_scores_are_those_of_then(golden: Path) -> None:
    model = CCFLLM.load("model", device="cpu")
    expected = pl.read_parquet("scores.parquet")
    found = model.score(expected.select("user_id", "item_id"))
    assert expected["score"].std() > 0.1
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=ALIKE)


def test_recommendations_are_those_of_then(golden: Path) -> None:
    model = CCFLLM.load("model", device="cpu")
    assert model.info.data is not None
    recommender = Recommender(model, open_dataset(str(model.info.data.source)))
    expected = pl.read_parquet("recommended.parquet")
    found = recommender.recommend_for_history(["i1", "i3", "i6", "i9"], k=len(expected), order="fused")
    assert found["item_id"].to_list() == expected["item_id"].to_list()
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=ALIKE)


def test_it_is_saved_in_the_format_of_now(golden: Path) -> None:
    model = CCFLLM.load("model", device="cpu")
    model.save("again")
    expected = pl.read_parquet("scores.parquet")
    found = CCFLLM.load("again", device="cpu").score(expected.select("user_id", "item_id"))
    np.testing.assert_allclose(found["score"], expected["score"], rtol=0, atol=ALIKE)
