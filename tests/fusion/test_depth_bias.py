from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.prompts.collate import collate_prompts
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.scoring import PrefixCache, SharedPrefixScorer

LIFTED = FusionConfig(hidden=16, depth_bias=True)


def test_at_zero_it_changes_nothing_and_far_below_it_hides_the_slots(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    rows = tiny_data.rows("test").take(slice(0, 20))
    plain, lifted = make_network(FusionConfig(hidden=16)), make_network(LIFTED)
    before = SharedPrefixScorer(plain).language_scores(rows)
    np.testing.assert_allclose(SharedPrefixScorer(lifted).language_scores(rows), before, rtol=0, atol=1e-5)
    with torch.no_grad():
        lifted.fusion.depth_bias.fill_(-1e4)
    hidden = SharedPrefixScorer(lifted).language_scores(rows)
    assert np.abs(hidden - before).max() > 1e-2
    with torch.no_grad():
        lifted.fusion.item.align[2].bias.add_(1.0)  # what nobody looks at decides nothing
    np.testing.assert_allclose(SharedPrefixScorer(lifted).language_scores(rows), hidden, rtol=0, atol=1e-5)


def test_it_is_a_number_for_each_layer_added_at_slots_alone(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    network, rows = make_network(LIFTED), tiny_data.rows("test").take(slice(0, 5))
    ids = collate_prompts(plan_sequences(rows, network.encoder, network.budget, max_rows=1)).ids
    with torch.no_grad():
        network.fusion.depth_bias.copy_(torch.tensor([-0.5, 2.0]))
    lift = network.lift(ids)
    assert lift is not None
    assert lift.shape == (2, len(ids))
    assert set(lift[0].tolist()) == {0.0, -0.5}
    assert torch.equal(lift[1] != 0, lift[0] != 0)
    assert bool((ids[lift[0] != 0] < 0).all())
    assert make_network(FusionConfig(hidden=16)).lift(ids) is None


def test_models_with_it_and_without_share_no_prefixes(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    rows, cache = tiny_data.rows("test").take(slice(0, 20)), PrefixCache()
    for fusion in (FusionConfig(hidden=16), LIFTED, FusionConfig(hidden=16)):
        network = tiny.stir(make_network(fusion))
        with_cache = SharedPrefixScorer(network, cache=cache).language_scores(rows)
        np.testing.assert_allclose(with_cache, SharedPrefixScorer(network).language_scores(rows), rtol=0, atol=1e-5)
    assert cache.hits > 0


def test_a_model_with_it_is_saved(make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path) -> None:
    network, info = tiny.stir(make_network(LIFTED)), ModelInfo(details=("genres",), dtype="float32")
    rows = tiny_data.rows("test").take(slice(0, 20))
    CCFLLM(network, tiny_data.user_vocabulary, tiny_data.items, info).save(tmp_path / "model")
    loaded = CCFLLM.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(loaded.score_rows(rows), SharedPrefixScorer(network).score(rows), rtol=0, atol=1e-5)
