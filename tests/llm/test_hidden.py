"""Hidden states as embeddings of words: those of the base model alone, after so many layers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm import hidden
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.scoring import SharedPrefixScorer

TEXTS = [np.array([5, 9, 14]), np.array([7]), np.array([30, 2, 2, 8, 21]), np.zeros(0, dtype=np.int64)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(cache))


@pytest.fixture(scope="module")
def network(make_network: Callable[..., CCFNetwork], cache: Path) -> CCFNetwork:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CCF_LLM_CACHE", str(cache))
        return tiny.stir(make_network(FusionConfig(semantic="hidden:1", hidden=16))).eval()


@pytest.mark.parametrize("layer", [0, 1, 2, None])
@pytest.mark.parametrize("batch_tokens", [4, 2048])
def test_is_the_mean_over_a_text_of_the_untouched_base_model(
    network: CCFNetwork, tiny_llm: Path, layer: int | None, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden, "BATCH_TOKENS", batch_tokens)
    network.llm.products.for_scoring()  # the adapter, which has learned, is merged
    found = hidden_means(network.llm, TEXTS, layer, keep=False)
    base = AutoModelForCausalLM.from_pretrained(tiny_llm, dtype=torch.float32).eval()
    for text, vector in zip(TEXTS[:3], found, strict=False):
        with torch.inference_mode():
            states = base(torch.from_numpy(text)[None], output_hidden_states=True).hidden_states
        torch.testing.assert_close(vector, states[1 if layer is None else layer][0].mean(0), rtol=0, atol=1e-5)
    assert not found[3].any()


def test_more_layers_than_are_read_are_refused(network: CCFNetwork) -> None:
    with pytest.raises(CCFError, match=r"^fusion\.semantic: hidden:3, but 2 layers are read; give 0 to 2$"):
        hidden_means(network.llm, TEXTS, 3)


def test_a_model_that_reads_them_is_saved_and_grows(network: CCFNetwork, tiny_data: Dataset, tmp_path: Path) -> None:
    model = CCFLLM(network, tiny_data.user_vocabulary, tiny_data.items, ModelInfo(details=("genres",), dtype="float32"))
    rows = tiny_data.rows("test").take(slice(0, 20))
    expected = model.score_rows(rows)
    model.save(tmp_path / "model")
    loaded = CCFLLM.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(loaded.score_rows(rows), expected, rtol=0, atol=1e-5)
    assert network.semantic[1:].std(0).min() > 0
    title, genres = tiny_data.items["title"][2], tiny_data.items["genres"][2] or ""
    grown = network.with_items([title], [genres])
    torch.testing.assert_close(grown.semantic[-1], network.semantic[3], rtol=0, atol=1e-5)  # read by the same model
    np.testing.assert_allclose(SharedPrefixScorer(grown).score(rows), expected, rtol=0, atol=1e-5)


def test_they_are_read_once(network: CCFNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hidden_means(network.llm, TEXTS, 2)
    monkeypatch.setattr(hidden, "_means", lambda *_: pytest.fail("the texts were read again"))
    torch.testing.assert_close(hidden_means(network.llm, TEXTS, 2), first, rtol=0, atol=0)
