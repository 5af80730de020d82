"""What reads texts for a prior: a sentence encoder, letters, and a language model that may know the works by name."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.errors import CCFError
from ccf_llm.io.kept import kept_texts
from ccf_llm.llm.base import LanguageModel, base_config, load_tokenizer
from ccf_llm.llm.hidden import hidden_means
from ccf_llm.llm.settings import LoRAConfig
from ccf_llm.llm.source import ModelSource, resolve_model
from ccf_llm.text.ngrams import WEIGHT, WIDTH, ngram_vectors
from ccf_llm.text.sentences import encoder_key, sentence_vectors
from ccf_llm.text.words import READERS

MOST_TOKENS = 256
"""Of a text that a language model reads."""


def text_vectors(texts: Sequence[str], words: str) -> NDArray[np.float32]:
    """(n, w) what the texts say, by a setting: `sentences` or `sentences:NAME` (see `sentence_vectors`), and after it
    `+ngrams` for their letters and `+llm:NAME` for the states of a language model (see `StateReader`), side by side.

    The last `state_width` numbers are the states as they are: what all texts of a catalogue share is most of them, so
    whoever reads them takes that off first (`cf.prior.Words.of`).
    """
    encoder, letters, llm = _parts(words)
    read = [sentence_vectors(texts, encoder)]
    if letters:
        read.append(WEIGHT * ngram_vectors(texts))
    if llm:
        reader = cache(lambda: StateReader(_source(llm)))
        read.append(kept_texts(texts, _states_key(llm), lambda block: reader().read(block)))
    return np.hstack(read)


def state_model(words: str | None) -> str | None:
    """The language model that a setting names, if it does."""
    found = re.fullmatch(READERS, words or "")
    return found[3] if found else None


def state_width(words: str) -> int:
    """How many numbers of `text_vectors` are a language model's; 0 where none reads."""
    llm = state_model(words)
    return int(base_config(_source(llm)).get_text_config().hidden_size) if llm else 0


def reader_key(words: str) -> str:
    """What tells what such a setting reads by from others, see `encoder_key`."""
    encoder, letters, llm = _parts(words)
    key = encoder_key(encoder) + (f"+ngrams {WIDTH} {WEIGHT}" if letters else "")
    return key + (f"+llm {_states_key(llm)}" if llm else "")


class StateReader:
    """A language model halfway: the mean over a text's tokens of what stands after half of its layers.

    There is most of what it knows of the works that a text names, before it turns to which token comes next. Of its
    layers no more than needed are read, in fp32 on the CPU: few numbers are a thousand times as large as the others.
    A text stands after the token that texts begin with, where there is one, and that token is not counted.
    """

    def __init__(self, source: ModelSource) -> None:
        depth = int(base_config(source).get_text_config().num_hidden_layers)
        self._layer = depth // 2
        last = min(self._layer + 1, depth)  # what stands after the last layer that is read is normed
        self._llm = LanguageModel(source, torch.float32, LoRAConfig(targets="all-linear"), 0, layers=last)
        self._tokenizer = load_tokenizer(source)
        first = self._tokenizer.bos_token_id
        self._start = [] if first is None else [first]

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) of texts, of which no more than `MOST_TOKENS` tokens are read; zeros for one without any."""
        told = self._tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids = [np.array([*self._start, *own[:MOST_TOKENS]], dtype=np.int64) for own in told]
        states = hidden_means(self._llm, ids, self._layer, first=len(self._start), keep=False)
        vectors: NDArray[np.float32] = states.numpy()
        return vectors


_source = cache(resolve_model)  # each CF model of a run asks, and its files are hashed, which takes a second


def _states_key(name: str) -> str:
    return f"{_source(name).checksum} {MOST_TOKENS}"


def _parts(words: str) -> tuple[str, bool, str | None]:
    """As `READERS` has them."""
    found = re.fullmatch(READERS, words)
    if found is None:
        raise CCFError(f"words: {words!r} names nothing that reads; give sentences, sentences+ngrams or more")
    return found[1], found[2] is not None, found[3]
