from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from ccf_llm.data.dataset import Dataset
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.network import CCFNetwork
from ccf_llm.training.warmup import warm_up

EVEN = FusionConfig(hidden=16, start="even")


def own_words_first(network: CCFNetwork) -> float:
    """Share of the items whose aligned vector is nearest to their own words."""
    semantic, vectors, counts = network.item_sides(torch.arange(1, len(network.semantic)), network.cf)
    met = counts > 0
    with torch.no_grad():
        aligned = network.fusion.item.aligned(vectors[met])
    said = F.normalize(semantic[met] - semantic[met].mean(0), dim=1)
    return float(((F.normalize(aligned, dim=1) @ said.T).argmax(1) == torch.arange(len(said))).float().mean())


@pytest.mark.parametrize("shared", [False, True])
def test_aligned_vectors_come_to_lie_by_what_their_items_words_say(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, shared: bool
) -> None:
    network = make_network(EVEN.model_copy(update={"shared": shared}))
    before, gate = own_words_first(network), [w.clone() for w in network.fusion.item.gate.parameters()]
    losses = warm_up(network, tiny_data.rows("train"), 150, seed=0)
    assert len(losses) == 150
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.5
    assert own_words_first(network) > max(before + 0.3, 0.5)
    assert all(torch.equal(old, new) for old, new in zip(gate, network.fusion.item.gate.parameters(), strict=True))
    assert not any(weight.requires_grad for weight in network.parameters())


def test_users_have_an_alignment_of_their_own_and_nothing_is_left_to_chance(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    ends = []
    for _ in range(2):
        network = make_network(EVEN)
        start = [weight.detach().clone() for weight in network.fusion.user.align.parameters()]
        warm_up(network, tiny_data.rows("train"), 5, seed=3)
        ends.append([weight.detach() for weight in network.fusion.user.align.parameters()])
    assert all(not torch.equal(old, new) for old, new in zip(start, ends[0], strict=True))
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize("settings", [{"start": "semantic"}, {"variant": "semantic", "start": "even"}])
def test_an_alignment_that_begins_silent_or_is_not_there_cannot_be_warmed_up(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="warmup: needs an alignment that does not begin silent"):
        FusionConfig.model_validate({"warmup": 10, **settings})
