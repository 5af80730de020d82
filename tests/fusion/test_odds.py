from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.fusion.odds import Odds
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.prompts.collate import Pass, collate_chains, collate_prompts, collate_targets
from ccf_llm.prompts.encoder import ITEM_SLOT
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.scoring import SharedPrefixScorer


def test_log_odds_move_a_slot_along_one_direction_at_the_norm_of_a_token() -> None:
    torch.manual_seed(0)
    odds, fused = Odds(12, 3.0), torch.randn(1, 12).expand(5, 12)
    shown = odds(fused, torch.tensor([-8.0, -1.0, 0.0, 1.0, 8.0]))
    torch.testing.assert_close(shown.norm(dim=1), torch.full((5,), 3.0))
    along = shown @ odds.weight
    assert bool((along.diff() > 0).all())
    torch.testing.assert_close(shown[2], 3.0 * fused[2] / fused[2].norm())


def passes(network: CCFNetwork, rows: Rows) -> tuple[Pass, ...]:
    sequences = plan_sequences(rows, network.encoder, network.budget)
    return collate_chains(sequences), collate_targets(sequences), collate_prompts(sequences)


def test_the_target_shows_them_and_the_history_does_not(make_network: Callable[..., CCFNetwork]) -> None:
    network = make_network(FusionConfig(odds=True, hidden=16))
    rows = Rows.for_candidates(np.array([3, 5, 7]), np.array([5, 8, 3]), user=2)  # two of them are liked already
    before = [network.embed(part, rows) for part in passes(network, rows)]
    network.cf.offset.data += 1.0
    for part, old in zip(passes(network, rows), before, strict=True):
        moved = (network.embed(part, rows) - old).abs().amax(dim=1) > 1e-6
        assert torch.equal(moved, part.asked)
        assert bool((part.ids[part.asked] == ITEM_SLOT).all())
    assert [int(part.asked.sum()) for part in passes(network, rows)] == [0, 3, 3]


def test_they_are_read_where_slots_hold_words_alone(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    rows = tiny_data.rows("test").take(slice(0, 20))
    for odds in (False, True):
        network = tiny.stir(make_network(FusionConfig(variant="semantic", odds=odds, blend=False)))
        before = SharedPrefixScorer(network).score(rows)
        network.cf.offset.data += 1.0
        assert (np.abs(SharedPrefixScorer(network).score(rows) - before).min() > 1e-4) == odds


def test_a_model_that_shows_them_is_saved(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    network, info = (
        tiny.stir(make_network(FusionConfig(odds=True, hidden=16))),
        ModelInfo(details=("genres",), dtype="float32"),
    )
    rows = tiny_data.rows("test").take(slice(0, 20))
    CCFLLM(network, tiny_data.user_vocabulary, tiny_data.items, info).save(tmp_path / "model")
    loaded = CCFLLM.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(loaded.score_rows(rows), SharedPrefixScorer(network).score(rows), rtol=0, atol=1e-5)
