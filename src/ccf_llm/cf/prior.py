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
_ARRAYS = ("matrix", "words_mean", "vectors_mean", "predicted")


@dataclass(frozen=True, eq=False)
class Words:
    """What the items' words say, and how much it counts."""

    vectors: Floats
    """(n_items + 1, w) by item code, of any encoder; row 0 is no item."""
    config: PriorConfig


@dataclass(frozen=True, eq=False)
class Prior:
    """Ridge regression from vectors of words e to vectors of items q, each item weighted by what is known of it:

        the least sum over i of n_i / (n_i + k) |q_i - m_q - C'(e_i - m_e)|^2 + l2 |C|^2

    where n_i people like the item, and the means m are weighted likewise. An item is then drawn to the prediction:

        n / (n + k) own + k / (n + k) predicted

    so a new one, n = 0, is the prediction alone. Of an item that somebody likes the prediction is taken at the length
    of its own vector: that few like it is known, and words know less of it. At its full length it would put what few
    like where the liked are.
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
        words_mean, vectors_mean = ((told * of[known]).sum(0) / told.sum() for of in (own, vectors))
        centred = own[known] - words_mean
        gram = centred.T @ (told * centred) + config.l2 * np.eye(own.shape[1])
        matrix = np.linalg.solve(gram, centred.T @ (told * (vectors[known] - vectors_mean)))
        arrays = (matrix, words_mean, vectors_mean, (own - words_mean) @ matrix + vectors_mean)
        return cls(config, *(array.astype(np.float32) for array in arrays))

    def with_items(self, vectors: Floats) -> Self:
        """The same with the predictions of further items, whose words are (n, w)."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self.words_mean):
            width = len(self.words_mean)
            raise CCFError(f"words: shape {vectors.shape}; give (items, {width}), of the encoder that the prior knows")
        more = (vectors - self.words_mean) @ self.matrix + self.vectors_mean
        return replace(self, predicted=np.concatenate([self.predicted, more.astype(np.float32)]))

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
        write_tensors({name: torch.from_numpy(getattr(self, name)) for name in _ARRAYS}, folder / PRIOR_FILE)

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Read what `save` wrote, with the settings that stand beside it; a `CCFError` where it is damaged."""
        path = Path(folder) / PRIOR_FILE
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        try:
            prior = cls(PriorConfig.model_validate(config), **arrays)
            if prior.matrix.shape != (*prior.words_mean.shape, *prior.vectors_mean.shape):
                raise ValueError(f"a map of shape {prior.matrix.shape}")
        except (TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a prior ({one_line(error)}); save it again") from None
        return prior


def trust(counts: NDArray[np.int64], k: float) -> NDArray[np.float64]:
    """(n,) how much an item with so many likes is its own, 0 to 1."""
    share: NDArray[np.float64] = counts / (counts + k)
    return share
