"""Texts -> vectors of their letters, beside what a sentence encoder makes of them: what a prior from text reads."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
