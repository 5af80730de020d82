"""What is made or trained here draws from its own seed and leaves the caller's random numbers alone."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from ccf_llm.cf.gbm import GBM
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.kinds import FITTED, RANKERS, VECTORS
from ccf_llm.cf.prior import Words
from ccf_llm.cf.settings import GBMConfig, PriorConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.model.network import CCFNetwork
from ccf_llm.randomness import seeded
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.checkpoint import Checkpoint
from ccf_llm.training.data import TrainingData
from ccf_llm.training.loop import StageRun, train_stage
from ccf_llm.training.stage import BatchConfig, StageConfig


def state() -> list[object]:
    kind, key, *rest = np.random.get_state()
    return [random.getstate(), kind, np.asarray(key).tolist(), rest, torch.get_rng_state().tolist()]


@contextmanager
def undisturbed() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


def test_seeded_draws_from_the_seed_and_goes_back() -> None:
    with undisturbed():
        with seeded(3):
            first = torch.rand(2)
        with seeded(3):
            assert torch.equal(torch.rand(2), first)


@pytest.mark.parametrize("kind", sorted(VECTORS.keys() | FITTED.keys()))
def test_fitting_cf(kind: str, tiny_data: Dataset) -> None:
    made = {**VECTORS, **FITTED}[kind]
    sizes = {"n_users": len(tiny_data.user_vocabulary), "n_items": len(tiny_data.item_vocabulary)}
    trees = {"max_trees": 5, "folds": 2}
    quick = {"gbm": trees, "gbm_words": trees, "sasrec_softmax": {"dim": 4, "epochs": 1}, "als": {"dim": 4}}
    quick |= {name: {} for name in RANKERS if name not in quick}
    settings = quick.get(kind, {"dim": 4, "max_epochs": 1})
    train, valid = tiny_data.rows("train"), tiny_data.rows("valid")
    config = (GBMConfig if issubclass(made, GBM) else made.config_type).model_validate(settings)
    words = np.random.default_rng(0).normal(size=(sizes["n_items"] + 1, 3)).astype(np.float32)
    told = {"l3ae": Words(words, PriorConfig(words="sentences")), "gbm_words": ItemWords.of(tiny_data.items, words[1:])}
    further = {"words": told[kind]} if kind in told else {}
    with undisturbed():
        made.fit(train, valid, **sizes, config=config, **further)  # type: ignore[arg-type]


def test_building_training_and_scoring(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    with undisturbed():
        network = make_network(dropout=0.1)
    data = TrainingData(tiny_data.rows("train"), tiny_data.rows("valid"))
    stage = StageConfig(rows=40, batch_rows=20, evaluations=1, valid_rows=None)
    with undisturbed():
        run = StageRun("tiny", Checkpoint(tmp_path / "stage", "key"))
        assert train_stage(network, data, stage, run, batch=BatchConfig(), seed=5).step == 2
    with undisturbed():
        SharedPrefixScorer(network).score(data.valid)
    with undisturbed():
        network.set_fusion(network.fusion_config, seed=7)
        network.with_items(["Another"], ["drama"])
