"""What holds for every language-model row of the comparison; a new row is tested by standing in configs/ml-1m.yaml."""

from pathlib import Path

import numpy as np
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.experiments.compare import seeded
from ccf_llm.experiments.config import RunConfig, load_config
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.results import ResultFolder
from ccf_llm.io.files import read_json
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.prompts.encoder import ITEM_SLOT, USER_SLOT
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.scoring.reference import plain_scores

SHIPPED = load_config(Path(__file__).parents[2] / "configs" / "ml-1m.yaml")
NOBODY = np.zeros(0, dtype=np.int64)

pytestmark = pytest.mark.parametrize("method", list(SHIPPED.methods))


@pytest.fixture
def model(method: str, every_row: RunConfig) -> CCFLLM:
    return CCFLLM.load(RunFolder(seeded(every_row, 0).output).model(method))


@pytest.fixture
def test_rows(some_left: Dataset) -> Rows:
    return some_left.rows("test")


def test_it_was_fitted_as_its_stages_say(method: str, every_row: RunConfig) -> None:
    result = ResultFolder(every_row.output / "comparison").load(method, 0)
    stages = every_row.methods[method].stages
    assert [curve["stage"] for curve in result["curves"]] == list(stages)
    assert all(curve["rows"] >= 48 and curve["valid"] for curve in result["curves"])
    parts = {
        part
        for name in every_row.resolved[method].needed
        for stage in every_row.methods[name].stages
        for part in set(every_row.stages[stage].train) & every_row.resolved[name].trainable
    }
    assert set(result["trained"]) == parts
    assert (result["trainable"] > 0) == bool(parts)
    assert (result["train_seconds"] > 0) == bool(parts)


def test_a_loaded_model_has_the_scores_that_were_measured(
    method: str, model: CCFLLM, every_row: RunConfig, test_rows: Rows, tmp_path: Path
) -> None:
    scores = ResultFolder(every_row.output / "comparison").scores(method, 0)
    assert np.isfinite(scores).all()
    assert scores.std() > 1e-4
    model.save(tmp_path / "again")
    for loaded in (model, CCFLLM.load(tmp_path / "again")):
        # Weights that lie elsewhere in memory may move the last bit of SASRec's states; with AVX2 that is 1.3e-6 here.
        np.testing.assert_allclose(loaded.score_rows(test_rows), scores, rtol=0, atol=5e-6)


def test_a_shared_pass_gives_the_scores_of_separate_prompts(method: str, model: CCFLLM, test_rows: Rows) -> None:
    some = test_rows.take(slice(0, 12))
    separate = plain_scores(model.network, some, exact=True).numpy()
    np.testing.assert_allclose(model.scorer.language_scores(some), separate, rtol=0, atol=1e-5)


def test_a_cold_user_and_an_empty_history_have_defined_scores(method: str, model: CCFLLM) -> None:
    candidates = np.arange(1, 6)
    cold = model.score_rows(Rows.for_candidates(np.array([1, 2, 3]), candidates, user=0))
    empty = model.score_rows(Rows.for_candidates(NOBODY, candidates, user=0))
    both = model.score_rows(Rows.for_candidates(NOBODY, candidates, user=1))
    for scores in (cold, empty, both):
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) == len(candidates)
    assert not np.array_equal(cold, empty)


def test_its_prompt_has_the_slots_that_it_says(method: str, model: CCFLLM) -> None:
    network = model.network
    (sequence,) = plan_sequences(
        Rows.for_candidates(np.array([1, 2]), np.array([3]), user=1), network.encoder, network.budget
    )
    slots = network.encoder.template.slots
    assert (sequence.chain == ITEM_SLOT).sum() == (2 if slots == "all" else 0)
    for slot in (USER_SLOT, ITEM_SLOT):
        assert (sequence.suffixes[0] == slot).sum() == (0 if slots == "none" else 1)


def test_a_row_of_a_paper_has_none_of_our_additions(method: str, every_row: RunConfig) -> None:
    if SHIPPED.methods[method].paper is None:
        # The variants of the main row answer alone, to be compared.
        assert every_row.resolved[method].fusion.blends == (method == SHIPPED.main)
        return
    config = read_json(RunFolder(seeded(every_row, 0).output).model(method) / "config.json")
    reads = every_row.resolved[method].fills_slots
    assert not reads or (not config["fusion"]["blend"] and every_row.resolved[method].folds == 0)


def test_further_items_leave_its_scores_as_they_are(method: str, model: CCFLLM, test_rows: Rows) -> None:
    some = test_rows.take(slice(0, 8))
    grown = model.network.with_items(["A new title"], ["drama"]).eval()
    np.testing.assert_allclose(
        SharedPrefixScorer(grown).language_scores(some), model.scorer.language_scores(some), rtol=0, atol=1e-5
    )
    newest = Rows.for_candidates(np.array([1]), np.array([grown.cf.n_items]), user=1)
    assert np.isfinite(SharedPrefixScorer(grown).score(newest)).all()
