from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.fusion.fusion import Fusion, FusionPair
from ccf_llm.fusion.settings import FusionConfig, Variant
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.scoring import SharedPrefixScorer

S, C, D, NORM = 7, 5, 12, 3.0
VARIANTS: tuple[Variant, ...] = get_args(Variant)
MIXED: tuple[Variant, ...] = ("dimension", "scalar", "average")


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Semantic embeddings at token norm, CF vectors, counts."""
    generator = torch.Generator().manual_seed(seed)
    semantic = torch.randn(S, D, generator=generator)
    counts = torch.tensor([0.0, 1, 2, 5, 20, 100, 1000])
    return NORM * semantic / semantic.norm(dim=1, keepdim=True), torch.randn(S, C, generator=generator), counts


def fusion_of(variant: Variant, *, trained: bool = True, count_aware: bool = True) -> Fusion:
    torch.manual_seed(0)
    config = FusionConfig(variant=variant, hidden=8, count_aware=count_aware, dropout=0.5)
    fusion = Fusion(config, torch.zeros(C), torch.ones(C), D, NORM).eval()
    if trained:
        with torch.no_grad():
            for weight in fusion.parameters():
                weight.add_(0.3 * torch.randn(weight.shape))
    return fusion


@pytest.mark.parametrize("variant", VARIANTS)
def test_slots_have_the_norm_of_a_token(variant: Variant) -> None:
    fused, share = fusion_of(variant)(*inputs())
    assert fused.shape == (S, D)
    torch.testing.assert_close(fused.norm(dim=1), torch.full((S,), NORM))
    assert share.shape == (S,)
    assert bool(((share >= 0) & (share <= 1)).all())


def test_shares_at_the_ends() -> None:
    assert not fusion_of("semantic")(*inputs())[1].any()
    assert bool((fusion_of("cf_only")(*inputs())[1] == 1).all())
    mixed = fusion_of("average")(*inputs())[1]
    assert bool(((mixed > 0) & (mixed < 1)).all())


@pytest.mark.parametrize("variant", MIXED)
def test_before_training_a_slot_is_its_text(variant: Variant) -> None:
    semantic, collaborative, counts = inputs()
    fused, share = fusion_of(variant, trained=False)(semantic, collaborative, counts)
    torch.testing.assert_close(fused, semantic)
    assert not share.any()


@pytest.mark.parametrize("variant", MIXED)
def test_an_even_start_has_text_and_cf_at_one_length(variant: Variant) -> None:
    semantic, collaborative, counts = inputs()
    torch.manual_seed(0)
    fusion = Fusion(FusionConfig(variant=variant, hidden=8, start="even"), torch.zeros(C), torch.ones(C), D, NORM)
    collaborative = 10 * collaborative  # an answer near zero is no direction, and stays small
    aligned = fusion.align(collaborative)
    mixed = semantic + NORM * aligned / aligned.norm(dim=1, keepdim=True)
    fused, share = fusion(semantic, collaborative, counts)
    torch.testing.assert_close(fused, NORM * mixed / mixed.norm(dim=1, keepdim=True))
    torch.testing.assert_close(share, torch.full((S,), 0.5))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_variant_reads(variant: Variant) -> None:
    fusion = fusion_of(variant)
    semantic, collaborative, counts = inputs()
    fused = fusion(semantic, collaborative, counts)[0]
    reads_text = not torch.equal(fused, fusion(semantic.flip(0), collaborative, counts)[0])
    reads_cf = not torch.equal(fused, fusion(semantic, collaborative.flip(0), counts)[0])
    reads_counts = not torch.equal(fused, fusion(semantic, collaborative, counts.flip(0))[0])
    assert (reads_text, reads_cf) == (variant != "cf_only", variant != "semantic")
    assert reads_counts == (variant in ("dimension", "scalar"))


def test_the_gates_width_and_its_equation() -> None:
    assert {v: getattr(fusion_of(v).gate, "out_features", 0) for v in VARIANTS} == {
        "dimension": D,
        "scalar": 1,
        "average": 0,
        "cf_only": 0,
        "semantic": 0,
    }
    semantic, collaborative, counts = inputs()
    for variant in ("dimension", "scalar"):
        fusion = fusion_of(variant)
        aligned = NORM / D**0.5 * nn.Sequential(*fusion.align)(collaborative)  # in units of a token embedding's element
        assert fusion.gate is not None
        read = torch.cat([semantic, aligned, (1 + counts).log()[:, None]], dim=1)
        g = torch.sigmoid(F.linear(read, fusion.gate.weight, fusion.gate.bias))
        mixed = g * semantic + (1 - g) * aligned
        torch.testing.assert_close(
            fusion(semantic, collaborative, counts)[0], NORM * mixed / mixed.norm(dim=1)[:, None]
        )


def test_a_gate_that_does_not_count_reads_no_counts() -> None:
    fusion = fusion_of("dimension", count_aware=False)
    semantic, collaborative, counts = inputs()
    torch.testing.assert_close(
        fusion(semantic, collaborative, counts)[0], fusion(semantic, collaborative, 0 * counts)[0], rtol=0, atol=0
    )


def test_cf_vectors_are_centred_and_share_one_scale() -> None:
    users, items = 5 + 3 * torch.randn(200, C), torch.randn(100, C)
    users[:, 0] = 1.0  # a constant dimension is no division by zero
    statistics = [(vectors.mean(0), vectors.var(0).mean().sqrt()) for vectors in (users, items)]
    pair = FusionPair(FusionConfig(variant="cf_only", hidden=8), *statistics, D, NORM, torch.zeros(D), depth=2).eval()
    scaled = (users[:S] - users.mean(0)) / users.var(0).mean().sqrt()
    aligned = pair.user.align(scaled)
    fused = pair.user(*inputs()[:1], users[:S], torch.zeros(S))[0]
    torch.testing.assert_close(fused, NORM * aligned / aligned.norm(dim=1, keepdim=True))


def test_shared_users_and_items_are_read_by_one_network() -> None:
    statistics = (torch.zeros(C), torch.ones(())), (torch.zeros(C), torch.ones(()))
    pair = FusionPair(FusionConfig(shared=True, start="even", hidden=8), *statistics, D, NORM, torch.zeros(D), depth=2)
    assert pair.user is pair.item
    apart = FusionPair(FusionConfig(start="even", hidden=8), *statistics, D, NORM, torch.zeros(D), depth=2)
    assert len(list(pair.parameters())) == len(list(apart.parameters())) / 2


def test_a_seed_draws_users_first_as_it_always_did() -> None:
    statistics = (torch.zeros(C), torch.ones(())), (torch.zeros(C), torch.ones(()))
    torch.manual_seed(3)
    pair = FusionPair(FusionConfig(start="even", hidden=8), *statistics, D, NORM, torch.zeros(D), depth=2)
    torch.manual_seed(3)
    users, items = (Fusion(FusionConfig(start="even", hidden=8), *of, D, NORM) for of in statistics)
    for ours, alone in ((pair.user, users), (pair.item, items)):
        for name, weight in alone.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], weight, rtol=0, atol=0)


def test_vectors_of_sentences_are_mapped_without_what_they_share_and_alike_stays_alike() -> None:
    torch.manual_seed(0)
    mean = 5 * torch.randn(48)
    vectors = mean + torch.randn(64, 48)
    vectors[1] = vectors[0] + 0.01 * torch.randn(48)
    statistics = (torch.zeros(C), torch.ones(())), (torch.zeros(C), torch.ones(()))
    pair = FusionPair(FusionConfig(semantic="sentences", hidden=8), *statistics, 96, NORM, vectors.mean(0), depth=2)
    read = pair.read(vectors)
    torch.testing.assert_close(read.norm(dim=1), torch.full((64,), NORM))
    cosine = F.cosine_similarity(read[:1], read[1:])
    assert cosine[0] > 0.99
    assert cosine[1:].abs().mean() < 0.3
    assert not pair.read(torch.zeros(1, 48)).any()  # no words


def test_a_model_that_shares_and_reads_sentences_is_saved_and_grows(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vectors_of(texts: list[str], words: str, *, keep: bool) -> np.ndarray:
        return np.stack([np.random.default_rng(len(text) + ord(text[0])).normal(size=12) for text in texts]).astype("f")

    monkeypatch.setattr("ccf_llm.model.network.sentence_vectors", vectors_of)
    fusion = FusionConfig(shared=True, semantic="sentences", start="even", hidden=16)
    network, info = tiny.stir(make_network(fusion)), ModelInfo(details=("genres",), dtype="float32")
    model = CCFLLM(network, tiny_data.user_vocabulary, tiny_data.items, info)
    rows = tiny_data.rows("test").take(slice(0, 20))
    model.save(tmp_path / "model")
    loaded = CCFLLM.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(loaded.score_rows(rows), model.score_rows(rows), rtol=0, atol=1e-5)
    grown = model.network.with_items(["a new one (1999)"], ["drama"])
    torch.testing.assert_close(grown.semantic[:-1], model.network.semantic)
    np.testing.assert_allclose(SharedPrefixScorer(grown).score(rows), model.score_rows(rows), rtol=0, atol=1e-5)


def test_stage_2_begins_where_stage_1_ended(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> None:
    """Alignment starts at zero: with the adapter of stage 1, every mixing variant scores as the text alone."""
    rows = tiny_data.rows("test").take(slice(0, 40))
    network = tiny.stir(make_network(FusionConfig(variant="semantic")))
    after_stage_1 = SharedPrefixScorer(network).score(rows)
    assert after_stage_1.std() > 0.1
    for variant in MIXED:
        network.set_fusion(FusionConfig(variant=variant, blend=False, hidden=16))
        torch.testing.assert_close(SharedPrefixScorer(network).score(rows), after_stage_1, rtol=0, atol=1e-5)


def test_the_blend_weighs_both_scores(make_network: Callable[..., CCFNetwork], tiny_data: Dataset) -> None:
    rows = tiny_data.rows("test").take(slice(0, 40))
    network = make_network(FusionConfig(hidden=16))
    scorer = SharedPrefixScorer(network)
    llm, cf = scorer.language_scores(rows), network.cf.score(rows)
    np.testing.assert_allclose(scorer.score(rows), llm)
    network.blend.weights.copy_(torch.tensor([0.5, 2.0, -1.0]))
    np.testing.assert_allclose(scorer.score(rows), 0.5 * llm + 2 * cf - 1, rtol=0, atol=1e-5)
    network.set_fusion(FusionConfig(variant="semantic"))
    network.blend.weights.copy_(torch.tensor([0.5, 2.0, -1.0]))
    np.testing.assert_allclose(scorer.score(rows), scorer.language_scores(rows))  # text only never reads CF


def test_equal_seeds_give_equal_networks(make_network: Callable[..., CCFNetwork]) -> None:
    first, second = make_network(), make_network()
    for part in ("lora", "fusion"):
        weights = second.part(part)
        assert all(torch.equal(w, weights[name]) for name, w in first.part(part).items())
    second.set_fusion(second.fusion_config, seed=1)
    assert not torch.equal(first.fusion.user.align[0].weight, second.fusion.user.align[0].weight)
