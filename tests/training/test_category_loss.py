"""The auxiliary loss: what its head begins with, what it learns, and that nothing of it stays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import tiny
from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets
from ccf_llm.data.rows import Floats, Rows
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.network import CCFNetwork
from ccf_llm.training.categories import CategoryHead
from ccf_llm.training.checkpoint import Checkpoint, Progress
from ccf_llm.training.data import ListData, TrainingData
from ccf_llm.training.loop import StageRun, train_stage
from ccf_llm.training.ranking import RankingObjective
from ccf_llm.training.rating import RatingObjective
from ccf_llm.training.stage import BatchConfig, StageConfig


@pytest.fixture
def told() -> Floats:
    return tiny.two_categories()


def test_it_begins_at_how_common_each_category_is(told: Floats) -> None:
    told[1:4, 1] = 0
    head = CategoryHead(8, told)
    with torch.no_grad():
        losses = head(torch.randn(tiny.N_ITEMS, 8), np.arange(1, tiny.N_ITEMS + 1))
    known = torch.from_numpy(told[1:]).any(1)
    share = torch.from_numpy(told[1:])[known].mean(0)
    expected = F.binary_cross_entropy(share.expand(int(known.sum()), 2), torch.from_numpy(told[1:])[known])
    assert losses[known].mean().item() == pytest.approx(expected.item(), abs=2e-3)
    assert not losses[~known].any()


def test_a_stage_learns_to_tell_and_keeps_the_adapter_alone(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path, told: Floats
) -> None:
    network, rows = make_network(), tiny_data.rows("train")
    before = {name: weight.detach().clone() for name, weight in network.part("lora").items()}
    data = TrainingData(rows, tiny_data.rows("valid"), categories=told)
    stage = StageConfig(
        train=("lora",), epochs=2, batch_rows=20, category_weight=3.0, category_rate=0.03, lora_rate=3e-3, evaluations=2
    )
    seen: list[set[str]] = []

    def note(name: str, word: str, progress: Progress, steps: int) -> None:
        if word == "valid":
            seen.append(set(load_file(tmp_path / "state.safetensors")))

    progress = train_stage(
        network, data, stage, StageRun("t", Checkpoint(tmp_path, "k"), note), batch=BatchConfig(), seed=0
    )
    first, last = progress.loss[0][1], progress.loss[-1][1]
    assert first == pytest.approx(np.log(2) * 4, abs=0.4)  # both losses at chance
    assert last < first - 1.0
    assert all({"weights/categories.weight", "weights/categories.bias"} <= names for names in seen)
    left = load_file(tmp_path / "state.safetensors")
    assert not [name for name in left if "categories" in name and not name.startswith("optimizer")]
    assert progress.best_step == 0 or any(not torch.equal(w, before[n]) for n, w in network.part("lora").items())


def test_the_loss_of_both_tasks_is_the_own_one_and_the_weighted_other(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, told: Floats
) -> None:
    network = tiny.stir(make_network(FusionConfig(hidden=16, blend=False))).eval()
    rows = tiny_data.rows("train")
    rating = TrainingData(rows.take(np.arange(24)), tiny_data.rows("valid"))
    lists = ListData(lists_of(rows), 4, candidates(rows))
    stage = StageConfig(category_weight=0.5)
    with torch.no_grad():
        for make, data in ((RatingObjective, rating), (RankingObjective, lists)):
            own = make(network, data, StageConfig(), 0)  # type: ignore[operator]
            both = make(network, replace(data, categories=told), stage, 0)  # type: ignore[operator]
            packs = own.plan(BatchConfig())
            found = [row for pack in packs for row in pack.rows]
            told_of = both.head(network.read(packs, data.train), data.train.items[found])
            share = 1 if data is rating else 4
            expected = own.loss(packs) + 0.5 * told_of.sum() / share
            assert both.loss(packs).item() == pytest.approx(expected.item(), rel=1e-5)
            assert both.head is not None
            assert own.head is None


def test_without_categories_it_is_refused(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> None:
    data = TrainingData(tiny_data.rows("train"), tiny_data.rows("valid"))
    with pytest.raises(CCFError, match=r"^category_weight: the data have no categories to learn"):
        RatingObjective(make_network(), data, StageConfig(category_weight=1.0), 0)


def lists_of(rows: Rows) -> Rows:
    """Two lists of four items for the first two people."""
    items = np.array([1, 2, 3, 4, 5, 6, 8, 9])
    histories = [rows.history(0), rows.history(1)]
    return Rows.for_lists(rows.users[:2], histories, np.full(2, 4), items, items % 4 == 1)


def candidates(rows: Rows) -> Candidates:
    """What a retriever finds for the first of them."""
    asked = Targets(rows.users[:1], [rows.history(0)], [np.array([1])], [np.array([2])])
    return Candidates(asked, np.array([[1, 3]]), np.zeros((1, 2), np.float32), np.array([[True, False]]))
