"""Quantized weights are small, compute what the same weights would if they were dense, and stay as they are."""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.train import train_run
from ccf_llm.llm.products import linear_layers
from ccf_llm.llm.quantized import is_quantized, quantize
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.scoring.reference import plain_scores

KINDS = ["int8", "nf4"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_takes_a_quarter_or_an_eighth_and_stays_near(dtype: torch.dtype) -> None:
    weight = torch.randn(96, 512, generator=torch.Generator().manual_seed(0)).to(dtype)
    for kind, share, error in (("int8", 0.253, 0.012), ("nf4", 0.131, 0.1)):
        module = nn.Linear(512, 96, bias=False)
        module.weight = nn.Parameter(quantize(weight, kind), requires_grad=False)  # type: ignore[arg-type]
        assert tiny.tensor_bytes(module.weight) / (4 * weight.numel()) < share
        assert is_quantized(module.to("meta").weight)
        off = dense(quantize(weight, kind)) - weight.float()  # type: ignore[arg-type]
        assert 0 < off.norm() / weight.float().norm() < error


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_gradients_are_those_of_the_dense_weights(
    kind: str, make_network: Callable[..., CCFNetwork], tiny_data: Dataset
) -> None:
    network, expected = (tiny.stir(make_network(quantize=bits)) for bits in (kind, None))
    layers = [[base for base, _ in linear_layers(model.llm.body)] for model in (network, expected)]
    assert len(layers[0]) == 14
    for layer, same in zip(*layers, strict=True):
        same.weight.copy_(dense(layer.weight))
    rows = tiny_data.rows("test").take(slice(0, 12))
    scores = SharedPrefixScorer(network).language_scores(rows)
    assert scores.std() > 0.1
    for other in (plain_scores(network, rows, exact=True).numpy(), SharedPrefixScorer(expected).language_scores(rows)):
        np.testing.assert_allclose(scores, other, rtol=0, atol=1e-5)
    (found, kept), (wanted, usual) = (gradients(model, tiny_data) for model in (network, expected))
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5, msg=name)
    assert (kept.count((64, 32)), usual.count((64, 32))) == (0, 2)  # transposed, the last product of each layer


def gradients(network: CCFNetwork, dataset: Dataset) -> tuple[dict[str, Tensor], list[tuple[int, ...]]]:
    """Of adapter and fusion, by name; and the shapes of what is kept for the way back."""
    rows, kept = dataset.rows("train").take(slice(0, 8)), list[tuple[int, ...]]()
    trained = network.requires_grad_(False).part("lora") | network.part("fusion")
    for weight in trained.values():
        weight.requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
        sequences = plan_sequences(rows, network.encoder, network.budget, max_rows=4)
        network.train()(sequences, rows).square().mean().backward()
    return {name: weight.grad for name, weight in trained.items() if weight.grad is not None}, kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_trains_and_its_model_scores(kind: str, tiny_run: RunConfig, tiny_data: Dataset) -> None:
    llm = tiny_run.llm.model_copy(update={"quantize": kind})
    folder = train_run(tiny_run.model_copy(update={"llm": llm}), only="llm_text", say=lambda line: None)
    (curve,) = json.loads(folder.training.read_text())
    assert len({point["llm_auc"] for point in curve["valid"]}) > 1
    model = CCFLLM.load(folder.model("llm_text"))
    assert model.network.llm.quantization == kind
    assert np.isfinite(model.score_rows(tiny_data.rows("test"))).all()
    assert "quantize" not in tiny_run.model_dump()["llm"]  # so that what was fitted before is found again


def test_a_layer_that_nf4_cannot_cut_and_a_missing_library_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CCFError, match=r"^llm\.quantize: nf4 does not fit a layer of \(9, 64\) weights; take int8$"):
        quantize(torch.zeros(9, 64), "nf4")
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(CCFError, match=r"^llm\.quantize: torchao cannot be loaded .*'ccf-llm\[quantize\]'$"):
        quantize(torch.zeros(8, 64), "int8")


def dense(weight: Any) -> Tensor:
    """By torchao's own product, which has no part in what is tested."""
    with torch.no_grad():
        product: Tensor = nn.functional.linear(torch.eye(weight.shape[1]).to(weight.dtype), weight).T
    return product.float()
