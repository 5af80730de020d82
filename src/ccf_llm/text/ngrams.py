"""Texts -> vectors of their letters, beside what a sentence encoder makes of them: what a prior from text reads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ccf_llm.text.sentences import encoder_key, sentence_vectors

AND_NGRAMS = "+ngrams"
"""What a setting ends with that has texts read by their letters too."""
WIDTH = 1024
WEIGHT = 0.5
"""Length of the letters' vector, where the encoder's is 1. Chosen with the width by new items drawn within train and
valid, of MovieLens-100K (docs/retrievers.md)."""


def ngram_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, WIDTH) of length 1, zeros for no letters: how often each run of 3 or 4 characters within a word is there.

    Runs are hashed to places and signs (Weinberger et al., 2009), so nothing is learned, and a text has the same vector
    in any catalogue. They tell of names, series and years as they are spelled: 1994 and 1995 have a run in common.

    Examples:
        >>> said = ngram_vectors(["Scream (1996)", "Scream 2 (1997)", "Babe (1995)"])
        >>> bool(said[0] @ said[1] > 2 * said[0] @ said[2])
        True
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return np.zeros((0, WIDTH), dtype=np.float32)
    reader = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=WIDTH, dtype=np.float32)
    vectors: NDArray[np.float32] = reader.transform(texts).toarray()
    return vectors


def text_vectors(texts: Sequence[str], words: str) -> NDArray[np.float32]:
    """(n, w) what the texts say, by a setting of `sentence_vectors`, which may end with `+ngrams`."""
    said = sentence_vectors(texts, words.removesuffix(AND_NGRAMS))
    return np.hstack([said, WEIGHT * ngram_vectors(texts)]) if words.endswith(AND_NGRAMS) else said


def reader_key(words: str) -> str:
    """What tells what such a setting reads by from others, see `encoder_key`."""
    key = encoder_key(words.removesuffix(AND_NGRAMS))
    return f"{key}{AND_NGRAMS} {WIDTH} {WEIGHT}" if words.endswith(AND_NGRAMS) else key
