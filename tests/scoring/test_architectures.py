"""Branches over a shared prefix read the same as separate prompts, whatever the architecture of the base model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ccf_llm.errors import CCFError
from ccf_llm.llm.attention import SHORT, Branches, Prefix
from ccf_llm.llm.base import LanguageModel
from ccf_llm.llm.settings import LoRAConfig
from ccf_llm.llm.source import resolve_model

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
# Shorter than the prompts below, so that it cuts into prefix and branch; the second layer reads everything.
WINDOWS = {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}
ARCHITECTURES = {
    "llama": GROUPED,
    "llama, tied": {**GROUPED, "tie_word_embeddings": True},
    "mistral": {**GROUPED, "sliding_window": None},
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "mistral, window": {**GROUPED, "sliding_window": 5},
    "gemma": {"num_key_value_heads": 1, "head_dim": 16},
    "gemma3_text": {"num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 12, **WINDOWS},
    "phi3": {"num_key_value_heads": 2},
    "olmo2": GROUPED,
    "granite": {**GROUPED, "attention_multiplier": 0.3},
    "gpt_neox": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
}


def build(folder: Path, kind: str, settings: dict[str, object], *, stirred: bool = True) -> LanguageModel:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SMALL, **settings})).save_pretrained(folder)
    model = LanguageModel(resolve_model(str(folder)), torch.float32, LoRAConfig(rank=2), seed=0).eval()
    model.set_answers(3, 5)
    if not stirred:
        return model
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.adapter().values():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_branches_equal_separate_prompts(name: str, tmp_path: Path) -> None:
    model = build(tmp_path / "llm", name.partition(",")[0], ARCHITECTURES[name])
    ids = torch.randint(1, 64, (20,), generator=torch.Generator().manual_seed(1))
    e = model.embeddings(ids)
    # A prefix of 9 tokens; three branches of 4, 4 and 3 tokens, of which the second reads only 6 of the prefix.
    chain, spans, limits = torch.arange(9), [(9, 13), (13, 17), (17, 20)], [9, 6, 9]
    prefix = Prefix()
    model(e[:9], chain, Branches(chain.view(1, 1, 9), chain, record=prefix))
    positions = torch.cat(
        [limit + torch.arange(end - start) for (start, end), limit in zip(spans, limits, strict=True)]
    )
    index = torch.tensor([[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 0]]])
    branches = Branches(index, torch.arange(11), torch.tensor([limits]), prefix)
    model.products.for_scoring()
    merged = model(e[9:], positions, branches)
    model.products.undo()
    together = model(e[9:], positions, branches)
    torch.testing.assert_close(merged, together, rtol=0, atol=1e-5)
    for (start, end), limit in zip(spans, limits, strict=True):
        prompt = torch.cat([e[:limit], e[start:end]])
        alone = model(prompt[None], torch.arange(len(prompt)), None)[0, limit:]
        torch.testing.assert_close(together[start - 9 : end - 9], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_the_plain_path_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    """Of its own model, from ids to logits: with what it does to embeddings, and with windows."""
    model = build(tmp_path / "llm", name.partition(",")[0], ARCHITECTURES[name], stirred=False)
    ids = torch.randint(1, 64, (1, 20), generator=torch.Generator().manual_seed(1))
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", attn_implementation="eager")
    logits = whole(ids).logits[0]
    found = model.answer(model(model.embeddings(ids), torch.arange(20), None, exact=True)[0])
    torch.testing.assert_close(found, logits[:, 3] - logits[:, 5], rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_window_is_read_alike_by_all_kernels(tmp_path: Path) -> None:
    """In bf16, where long branches that read only themselves are computed by PyTorch's own kernel."""
    model = build(tmp_path / "llm", "gemma3_text", {**ARCHITECTURES["gemma3_text"], "sliding_window": 40})
    T = 2 * SHORT
    tokens = torch.arange(T)
    e = model.embeddings(tokens % 64)
    branches = Branches(tokens.view(1, 1, T), tokens)
    precise = model(e, tokens, branches)
    model.body.to(torch.bfloat16)
    rounded = model(e, tokens, branches)
    for module in model.body.modules():
        if hasattr(module, "sliding_window"):
            module.sliding_window = None
    assert error([rounded], [precise]) < 0.02 < error([model(e, tokens, branches)], [precise])


def test_attention_of_another_kind_is_named(tmp_path: Path) -> None:
    model = build(tmp_path / "llm", "gemma2", {**GROUPED, "sliding_window": 64})
    tokens = torch.arange(9)
    with pytest.raises(CCFError, match="attention with 'softcap' is not supported"):
        model(model.embeddings(tokens), tokens, Branches(tokens.view(1, 1, 9), tokens))


@torch.no_grad()
def test_taking_the_adapter_out_restores_every_bit(tmp_path: Path) -> None:
    model = build(tmp_path / "llm", "llama", GROUPED)
    tokens = torch.arange(9)
    e, branches = model.embeddings(tokens), Branches(tokens.view(1, 1, 9), tokens)
    precise = model(e, tokens, branches)
    model.body.to(torch.bfloat16)
    before = model(e, tokens, branches)
    model.products.for_scoring()
    merged = model(e, tokens, branches)
    assert not torch.equal(merged, before)  # rounded anew
    assert (merged - precise).norm() < 2 * (before - precise).norm()
    model.products.undo()
    assert torch.equal(model(e, tokens, branches), before)


def test_training_takes_the_merged_adapter_out(tmp_path: Path) -> None:
    model = build(tmp_path / "llm", "llama", GROUPED)
    model.requires_grad_(False)
    for weight in model.adapter().values():
        weight.requires_grad_()
    tokens = torch.arange(9)
    e, branches = model.embeddings(tokens), Branches(tokens.view(1, 1, 9), tokens)
    model.products.for_scoring()
    assert not model(e, tokens, branches).requires_grad
    assert model.train()(e, tokens, branches).requires_grad


@pytest.mark.parametrize("onednn", [True, False], ids=["onednn", "plain weights"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3", "gpt2"])
def test_training_in_bf16_is_as_precise_as_the_plain_layers(
    name: str, onednn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not onednn:  # as on a GPU
        monkeypatch.setattr("ccf_llm.llm.products._has_onednn", lambda weight: False)
    model = build(tmp_path / "llm", name, ARCHITECTURES[name])
    tokens = torch.arange(9)
    e, branches = model.embeddings(tokens), Branches(tokens.view(1, 1, 9), tokens)
    precise = gradients(model, e, branches)
    model.body.to(torch.bfloat16)
    for weight in model.adapter().values():
        weight.data = weight.data.float()
    plain = gradients(model, e, branches)
    model.products.for_training()
    fast = gradients(model, e, branches)
    assert {gradient.dtype for gradient in fast} == {torch.float32}
    # All weights together: in one alone, chance decides whose rounding is the luckier.
    assert error(fast, precise) < 1.5 * error(plain, precise)


def error(found: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    """Root mean square of the gradients' relative errors."""
    return float(np.sqrt(np.mean([float((a - b).norm() / b.norm()) ** 2 for a, b in zip(found, right, strict=True)])))


def gradients(model: LanguageModel, embeddings: torch.Tensor, branches: Branches) -> list[torch.Tensor]:
    """Of a score, to the input embeddings and the adapter's weights."""
    embeddings = embeddings.clone().requires_grad_()
    weights = [weight.requires_grad_() for weight in model.adapter().values()]
    score = model.answer(model(embeddings, torch.arange(9), branches)[-1:]).sum()
    return list(torch.autograd.grad(score, [embeddings, *weights]))
