import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from retriever_suite import EVEN, N_ITEMS, ODD, RetrieverSuite, tastes

from ccf_llm.cf.ease import EASE
from ccf_llm.cf.kinds import load_retriever
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.retriever_ensemble import RetrieverEnsemble
from ccf_llm.cf.settings import EASEConfig, KNNConfig, RetrieverEnsembleConfig
from ccf_llm.errors import CCFError

KNN, L2 = KNNConfig(k=8, shrink=2.0, dim=20), EASEConfig(l2=50.0, dim=20)


class TestRetrieverEnsemble(RetrieverSuite):
    model_type = RetrieverEnsemble
    config = RetrieverEnsembleConfig(weights={"knn": 0.25, "ease": 0.75}, knn=KNN, ease=L2)
    dim = 40
    weights = "ease/cf.safetensors"


def test_scores_are_weighted_sums_of_standardised_ones() -> None:
    histories = [EVEN[:4], ODD[:2]]
    model = RetrieverEnsemble.fit(tastes(), config=TestRetrieverEnsemble.config)
    parts = []
    for member in (ItemKNN.fit(tastes(), config=KNN), EASE.fit(tastes(), config=L2)):
        scores = member.scores_of(histories)[:, :20]  # item 21 is liked by nobody
        parts.append((scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True))
    expected = 0.25 * parts[0] + 0.75 * parts[1]
    found = model.scores_of(histories)
    np.testing.assert_allclose(found[:, :20], expected - expected.min(1, keepdims=True), atol=1e-4)
    assert not found[:, 20:].any()
    products = model.history_vectors(histories) @ model.item_vectors().T
    np.testing.assert_allclose(np.ptp((products - found)[:, :20], axis=1), 0, atol=1e-4)  # up to a number per history
    assert model.item_vectors().shape == (N_ITEMS, 40)


def test_its_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        RetrieverEnsembleConfig(weights={"ease": 0.0})
    with pytest.raises(ValidationError, match="at least 1 item"):
        RetrieverEnsembleConfig(weights={})
    (tmp_path / "cf.json").write_text(json.dumps({"format": 2, "kind": "retriever_ensemble"}))
    with pytest.raises(CCFError, match=r"cf\.json: does not hold a retriever_ensemble model .*; save it again$"):
        load_retriever(tmp_path)
