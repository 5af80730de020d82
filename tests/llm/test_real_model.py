"""The whole network over the real SmolLM2-135M, and over Gemma 3 270M where it is, and MovieLens-100K."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import MFConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.named import open_dataset
from ccf_llm.data.split import global_time_split
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.products import linear_layers
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.model.build import build_network
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.template import Text
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.scoring.reference import plain_scores


@pytest.fixture(scope="module")
def films() -> Dataset:
    return global_time_split(open_dataset("ml-100k"))


@pytest.fixture(scope="module")
def mf(films: Dataset) -> MF:
    sizes = {"n_users": len(films.user_vocabulary), "n_items": len(films.item_vocabulary)}
    return MF.fit(films.rows("train"), films.rows("valid"), **sizes, config=MFConfig(dim=8, max_epochs=1))


def make(films: Dataset, mf: MF, model: str, **settings: Any) -> CCFNetwork:
    return build_network(
        films.items,
        mf,
        llm=LLMConfig(model=model, dtype="float32", device="cpu", **settings),
        prompt=PromptConfig(history=HistoryBudget(items=6, step=3)),
        fusion=FusionConfig(),
        details=("genres",),
        seed=0,
    )


@pytest.fixture(scope="module", params=["smollm2-135m", pytest.param("gemma3-270m", marks=tiny.needs_gemma)])
def network(request: pytest.FixtureRequest, films: Dataset, mf: MF) -> CCFNetwork:
    # Small, so that scores stay in the range of trained ones.
    return tiny.stir(make(films, mf, request.param), scale=0.01)


@pytest.mark.llm
@pytest.mark.slow
def test_scores_equal_those_of_separate_prompts(network: CCFNetwork, films: Dataset) -> None:
    rows = films.rows("test")
    user = pl.Series(rows.users).value_counts(sort=True)[:, 0][0]
    some = rows.take(np.flatnonzero(rows.users == user)[:6])
    told = [None, None, None, "in their thirties, works as doctor", "in their thirties, works as doctor", "a child"]
    some = replace(some, user_words=np.array(told, dtype=object))
    packed, separate = (
        SharedPrefixScorer(network).language_scores(some),
        plain_scores(network, some, exact=True).numpy(),
    )
    assert packed.std() > 1e-3
    np.testing.assert_allclose(packed, separate, rtol=0, atol=1e-5)


@pytest.mark.llm
@pytest.mark.slow
def test_fewer_bits_take_less_and_score_near(films: Dataset, mf: MF) -> None:
    """Of 4 layers. 8 bits are about as near to fp32 as bf16 is; 4 bits are not, before anything is learned."""
    rows, sizes, scores = films.rows("test").take(slice(0, 600, 50)), {}, {}
    for kind in (None, "int8", "nf4"):
        network = make(films, mf, "smollm2-135m", layers=4, quantize=kind)
        sizes[kind] = sum(tiny.tensor_bytes(layer.weight) for layer, _ in linear_layers(network.llm.body))
        scores[kind] = SharedPrefixScorer(network).language_scores(rows)
    assert sizes["int8"] / sizes[None] == pytest.approx(0.252, abs=0.001)
    assert sizes["nf4"] / sizes[None] == pytest.approx(0.129, abs=0.001)
    off = {kind: np.abs(scores[kind] - scores[None]).mean() / scores[None].std() for kind in ("int8", "nf4")}
    assert 0 < off["int8"] < 0.1
    assert off["int8"] < off["nf4"] < 1


@pytest.mark.llm
@pytest.mark.slow
def test_answers_and_titles(network: CCFNetwork, films: Dataset) -> None:
    encoder = network.encoder
    assert [encoder.tokenizer.decode([i]) for i in encoder.answer_ids()] == [" Yes", " No"]
    special = set(encoder.tokenizer.all_special_ids)
    suffixes = [encoder.suffix(item) for item in range(1, len(films.items) + 1)]
    assert not any(special & set(ids.tolist()) for ids in suffixes)
    assert {ids[-1] for ids in suffixes} == {suffixes[0][-1]}
    for token in ("<|im_start|>", "<start_of_turn>", *encoder.tokenizer.all_special_tokens):
        spelled = encoder.encode([Text(token)]).tolist()
        assert not special & set(spelled)
        assert encoder.tokenizer.decode(spelled) == token
    words = encoder.encode([Text(title := " Cité des enfants perdus, La (1995) \u6771\u4eac")]).tolist()
    assert encoder.tokenizer.decode(words) == title
    begins = encoder.tokenizer.encode("")
    assert encoder.instruction[: len(begins)].tolist() == begins
    assert not set(begins) & {ids for item in range(1, 50) for ids in encoder.history_item(item).tolist()}
