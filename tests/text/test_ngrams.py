"""Texts by their letters: the same in any catalogue, near where spelled alike."""

import numpy as np

from ccf_llm.text.ngrams import WIDTH, ngram_vectors

TEXTS = ["iron rain", "", "The Dawn of 1984", "red", "iron rain"]


def test_a_text_has_one_vector_whatever_stands_beside_it() -> None:
    vectors = ngram_vectors(TEXTS)
    assert vectors.shape == (5, WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1], rtol=1e-6)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_array_equal(ngram_vectors([text])[0], vector)
    assert ngram_vectors([]).shape == (0, WIDTH)


def test_places_are_those_of_every_machine() -> None:
    """A saved prior reads new items by them: of " red" and the runs in it, padded by a space at either end."""
    vector = ngram_vectors(["red"])[0]
    places = np.flatnonzero(vector)
    assert len(places) == 5  # " re", "red", "ed ", " red", "red "
    np.testing.assert_allclose(np.abs(vector[places]), 1 / np.sqrt(5), rtol=1e-6)
    assert dict(zip(places.tolist(), np.sign(vector[places]).tolist(), strict=True)) == RED


RED = {15: -1.0, 177: 1.0, 259: -1.0, 453: -1.0, 628: 1.0}


def test_what_is_spelled_alike_is_near() -> None:
    toy, sequel, later, other = ngram_vectors(["Toy Story 1995", "Toy Story 2 1999", "Babe 1996", "Heat 2007"])
    assert toy @ sequel > 0.6
    assert toy @ later > toy @ other + 0.1  # 1995 and 1996
