from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import tiny
from ccf_llm.data.rows import Rows
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.fusion.slots import fill_slots, to_norm
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import plan_sequences

INDEX = torch.tensor([1, 4, 7])


def test_filling_leaves_its_input_alone() -> None:
    tokens, vectors = torch.randn(8, 3), torch.randn(3, 3)
    before = tokens.clone()
    filled = fill_slots(tokens, vectors, INDEX)
    assert torch.equal(tokens, before)
    assert torch.equal(filled[INDEX], vectors)
    rest = torch.ones(8, dtype=torch.bool)
    rest[INDEX] = False
    assert torch.equal(filled[rest], tokens[rest])
    assert torch.equal(fill_slots(tokens, vectors[:0], INDEX[:0]), tokens)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradients_reach_tokens_and_vectors(checkpointed: bool) -> None:
    tokens = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

    def weighed(tokens: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        fill = lambda *x: fill_slots(*x, INDEX).tanh()  # noqa: E731
        return checkpoint(fill, tokens, vectors, use_reentrant=False) if checkpointed else fill(tokens, vectors)

    assert torch.autograd.gradcheck(weighed, (tokens, vectors))
    weighed(tokens, vectors).sum().backward()
    assert not tokens.grad[INDEX].any()  # what stood at a slot has no effect


def test_gradient_checkpointing_changes_no_gradient(make_network: Callable[..., CCFNetwork]) -> None:
    """Dropout included; and little is kept for the way back."""
    rows = Rows.for_candidates(np.array([1, 2, 3]), np.array([4, 5, 6]), user=2)

    def gradients(checkpointing: bool) -> tuple[dict[str, torch.Tensor], int]:
        network = tiny.stir(make_network(FusionConfig(hidden=16), dropout=0.1, checkpointing=checkpointing))
        weights = {**network.part("lora"), **network.part("fusion")}
        for weight in weights.values():
            weight.requires_grad_(True)
        network.train()
        torch.manual_seed(0)
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes) or x, lambda x: x):
            score = network(plan_sequences(rows, network.encoder, network.budget), rows).sum()
        found = torch.autograd.grad(score, list(weights.values()), allow_unused=True)
        return dict(zip(weights, found, strict=True)), sum(kept)

    (expected, all_of_it), (found, some) = gradients(False), gradients(True)
    assert some < all_of_it / 2
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_vectors_near_zero_stay_small() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-6, 0.0]])
    scaled = to_norm(vectors, 2.0)
    torch.testing.assert_close(scaled[0], torch.tensor([1.2, 1.6]))
    assert scaled[1].tolist() == [0, 0]
    assert float(scaled[2].norm()) < 1e-4
