"""What reads texts for a prior: an encoder's vectors, letters and a language model's states, side by side."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from ccf_llm.cf.settings import PriorConfig
from ccf_llm.errors import CCFError
from ccf_llm.llm import reading
from ccf_llm.llm.reading import StateReader, reader_key, state_model, state_width, text_vectors
from ccf_llm.text.ngrams import WEIGHT, ngram_vectors
from ccf_llm.text.sentences import encoder_key, sentence_vectors

TEXTS = ["iron rain", "", "The Dawn of 1984", "red", "iron rain"]
SENTENCES, STATES = 16, 32
"""Numbers of the tiny encoder and of the tiny language model."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The setting that names a tiny sentence encoder."""
    return f"sentences:{tiny.write_sentence_encoder(tmp_path_factory.mktemp('encoder') / 'bert')}"


def test_letters_stand_beside_what_the_encoder_says(words: str) -> None:
    joined, alone = text_vectors(TEXTS, f"{words}+ngrams"), text_vectors(TEXTS, words)
    np.testing.assert_array_equal(alone, sentence_vectors(TEXTS, words))
    np.testing.assert_array_equal(joined[:, :SENTENCES], alone)
    np.testing.assert_array_equal(joined[:, SENTENCES:], np.float32(WEIGHT) * ngram_vectors(TEXTS))
    assert reader_key(words) == encoder_key(words)
    assert reader_key(f"{words}+ngrams") != reader_key(words)
    assert state_width(f"{words}+ngrams") == 0


@pytest.mark.parametrize("kind", ["tiny_llm", "tiny_gemma"])
def test_states_are_the_mean_halfway_after_the_token_that_texts_begin_with(
    words: str, kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    setting = f"{words}+ngrams+llm:{folder}"
    joined = text_vectors(TEXTS, setting)
    assert state_width(setting) == STATES
    np.testing.assert_array_equal(joined[:, :-STATES], text_vectors(TEXTS, f"{words}+ngrams"))
    base, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    for text, states in zip(TEXTS, joined[:, -STATES:], strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False)
        with torch.inference_mode():
            found = base(torch.tensor([[tokenizer.bos_token_id, *ids]]), output_hidden_states=True).hidden_states[1]
        expected = found[0, 1:].mean(0).numpy() if ids else np.zeros(STATES)
        np.testing.assert_allclose(states, expected, atol=1e-5)


def test_texts_are_read_once_and_cut_and_hold_no_special_tokens(
    words: str, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, read = f"{words}+llm:{tiny_llm}", []
    first = text_vectors(TEXTS, setting)
    assert reader_key(setting) not in (reader_key(words), reader_key(f"{words}+ngrams"))

    def noted(self: StateReader, texts: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        read.extend(texts)
        return original(self, texts)

    original = StateReader.read
    monkeypatch.setattr(StateReader, "read", noted)
    np.testing.assert_array_equal(text_vectors(TEXTS, setting), first)
    assert not read
    monkeypatch.setattr(reading, "MOST_TOKENS", 4)
    long, longer = text_vectors(["rain " * 20, "rain " * 30], setting)[:, -STATES:]
    np.testing.assert_array_equal(long, longer)
    assert len(read) == 2  # what is cut elsewhere is read anew
    token = tiny.SPECIAL[1]
    named = AutoTokenizer.from_pretrained(tiny_llm).convert_tokens_to_ids(token)
    told: list[int] = []
    monkeypatch.setattr(
        reading, "hidden_means", lambda llm, ids, *a, **k: told.extend(ids[0]) or torch.zeros(1, STATES)
    )
    text_vectors([f"{token} x"], setting)
    assert told
    assert named not in told


def test_what_names_nothing_that_reads_is_refused_and_no_language_model() -> None:
    assert [state_model(words) for words in (None, "none", "sentences", "sentences+llm:x")] == [None, None, None, "x"]
    with pytest.raises(CCFError, match=r"^words: 'none' names nothing that reads"):
        text_vectors(TEXTS, "none")


def test_a_model_that_cannot_be_had_is_named(words: str) -> None:
    with pytest.raises(CCFError, match=r"'gpt-9' cannot be had"):
        text_vectors(TEXTS, f"{words}+llm:gpt-9")


SETTINGS = ["none", "sentences", "sentences+ngrams", "sentences+llm:a/b"]
SETTINGS += ["sentences:org/model+ngrams", "sentences:x+ngrams+llm:y"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_a_prior_may_read_by(setting: str) -> None:
    assert PriorConfig(words=setting).words == setting


@pytest.mark.parametrize("setting", ["ngrams", "none+ngrams", "sentences+letters", "sentences+llm", "none+llm:x"])
def test_what_it_may_not(setting: str) -> None:
    with pytest.raises(ValueError, match="words"):
        PriorConfig(words=setting)
