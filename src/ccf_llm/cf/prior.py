"""Prior from text: what the words of an item predict of its vector, for where few likes say anything of their own."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.settings import PriorConfig
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors

PRIOR_FILE = "prior.safetensors"
_ARRAYS = ("matrix", "words_mean", "vectors_mean", "predicted", "lengths")


@dataclass(frozen=True, eq=False)
class Words:
    """What the items' words say, and how much it counts."""

    vectors: Floats
    """(n_items + 1, w) by item code, of any encoder; row 0 is no item."""
    config: PriorConfig
    new: NDArray[np.bool_] | None = None
    """(n_items + 1,) which items are new: nobody could meet them yet. None for none."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Ridge regression from vectors of words e to vectors of items q, each item weighted by what is known of it:

        the least sum over i of n_i / (n_i + k) |q_i - m_q - C'(e_i - m_e)|^2 + l2 |C|^2

    where n_i people like the item, and the means m are weighted likewise. An item is then drawn to the prediction:

        n / (n + k) own + k / (n + k) predicted

    so a new one, n = 0, is the prediction alone. Of an item that somebody likes the prediction is taken at the length
    of its own vector: that few like it is known, and words know less of it. At its full length it would put what few
    like where the liked are.

    Of a new item the length is predicted too, by a regression of |q| alike, and taken `new_length` times. A regression
    of vectors which point in many directions gives far shorter ones than theirs, and would put what is new behind all
    that is known. What is not new, and yet liked by nobody, was passed over: that keeps the short prediction.
    """

    config: PriorConfig
    matrix: Floats
    """(w, d) C."""
    words_mean: Floats
    """(w,) m_e."""
    vectors_mean: Floats
    """(d,) m_q."""
    predicted: Floats
    """(n_items, d) of every item."""
    lengths: Floats | None = None
    """(w + 1,) what the words, and last a 1, predict of the length of a vector; None in what was saved before there was
    such a thing: new items then keep the length of the prediction."""

    @classmethod
    def fit(cls, words: Words, counts: NDArray[np.int64], vectors: Floats) -> Self:
        """Learn from the items that somebody likes.

        Args:
            words: of all items.
            counts: (n_items,) how many people like each.
            vectors: (n_items, d) their own vectors.

        Raises:
            CCFError: words of another number of items, or that are not finite.
        """
        own, config = np.asarray(words.vectors, dtype=np.float64)[1:], words.config
        if own.ndim != 2 or len(own) != len(counts):
            raise CCFError(
                f"words: shape {words.vectors.shape} for {len(counts)} items; give a row for each, after that of code 0"
            )
        if not np.isfinite(own).all():
            raise CCFError("words: not all are finite numbers; encode the items' texts again")
        known = counts > 0
        told = trust(counts[known], config.k)[:, None]
        matrix, words_mean, vectors_mean = _ridge(own[known], vectors[known], told, config.l2)
        slope, _, mean = _ridge(own[known], np.linalg.norm(vectors[known], axis=1, keepdims=True), told, config.l2)
        lengths = np.append(slope[:, 0], mean - words_mean @ slope)
        arrays = (matrix, words_mean, vectors_mean, (own - words_mean) @ matrix + vectors_mean, lengths)
        prior = cls(config, *(array.astype(np.float32) for array in arrays))
        if words.new is None:
            return prior
        new = np.flatnonzero(words.new[1:] & ~known)
        prior.predicted[new] = prior._at_length(prior.predicted[new], words.vectors[1:][new])
        return prior

    def with_items(self, vectors: Floats) -> Self:
        """The same with the predictions of further items, whose words are (n, w)."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self.words_mean):
            width = len(self.words_mean)
            raise CCFError(f"words: shape {vectors.shape}; give (items, {width}), of the encoder that the prior knows")
        more = (vectors - self.words_mean) @ self.matrix + self.vectors_mean
        more = self._at_length(more, vectors).astype(np.float32)
        return replace(self, predicted=np.concatenate([self.predicted, more]))

    def _at_length(self, predicted: NDArray[np.floating[Any]], words: Floats) -> NDArray[np.floating[Any]]:
        """(n, d) predictions at the length of new items, never below a tenth of what words of no meaning predict."""
        if self.lengths is None:
            return predicted
        least = 0.1 * max(float(self.words_mean @ self.lengths[:-1] + self.lengths[-1]), 0)
        lengths = self.config.new_length * np.maximum(words @ self.lengths[:-1] + self.lengths[-1], least)
        there = np.linalg.norm(predicted, axis=1)
        scaled: NDArray[np.floating[Any]] = (
            predicted * (lengths / np.maximum(there, np.finfo(np.float32).tiny))[:, None]
        )
        return scaled

    def towards(self, vectors: Floats) -> Floats:
        """(n_items, d) what these vectors are drawn to: the predictions, at the length of each that has one."""
        own, there = (np.linalg.norm(of, axis=1, keepdims=True) for of in (vectors, self.predicted))
        scaled: Floats = np.where(own > 0, own / np.maximum(there, np.finfo(np.float32).tiny), 1) * self.predicted
        return scaled

    def draw(self, counts: NDArray[np.int64], vectors: Floats) -> Floats:
        """(n_items, d) of the items' own vectors, those drawn to the predictions."""
        own = trust(counts, self.config.k)[:, None].astype(np.float32)
        drawn: Floats = own * vectors + (1 - own) * self.towards(vectors)
        return drawn

    def save(self, folder: Path) -> None:
        """Write `prior.safetensors` into a folder that is being made."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        kept = {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
        write_tensors(kept, folder / PRIOR_FILE)

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Read what `save` wrote, with the settings that stand beside it; a `CCFError` where it is damaged."""
        path = Path(folder) / PRIOR_FILE
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        try:
            prior = cls(PriorConfig.model_validate(config), **arrays)
            if prior.lengths is not None and prior.lengths.shape != (len(prior.words_mean) + 1,):
                raise ValueError(f"lengths of shape {prior.lengths.shape}")
            if prior.matrix.shape != (*prior.words_mean.shape, *prior.vectors_mean.shape):
                raise ValueError(f"a map of shape {prior.matrix.shape}")
        except (TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a prior ({one_line(error)}); save it again") from None
        return prior


def trust(counts: NDArray[np.int64], k: float) -> NDArray[np.float64]:
    """(n,) how much an item with so many likes is its own, 0 to 1."""
    share: NDArray[np.float64] = counts / (counts + k)
    return share


def _ridge(
    words: NDArray[np.float64], wanted: NDArray[Any], weights: NDArray[np.float64], l2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The map (w, d), and the means of words (n, w) and of what is wanted (n, d), of rows that weigh (n, 1)."""
    words_mean, wanted_mean = ((weights * of).sum(0) / weights.sum() for of in (words, wanted))
    centred = words - words_mean
    gram = centred.T @ (weights * centred) + l2 * np.eye(words.shape[1])
    return np.linalg.solve(gram, centred.T @ (weights * (wanted - wanted_mean))), words_mean, wanted_mean
