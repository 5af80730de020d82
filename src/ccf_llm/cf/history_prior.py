"""What a like of a new item says, as its words predict it."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.prior import Words, centred, ridge, trust
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError
from ccf_llm.io.tensors import read_tensors, write_tensors

HISTORY_FILE = "history.safetensors"


@dataclass(frozen=True, eq=False)
class HistoryPrior:
    """Ridge regression from words to what an item adds to the vector of a history, as `Prior` has it for items' own.

    Nobody in training liked a new item, so a retriever knows nothing of what a like of it says. The map gives the
    direction; all have the mean length of those that are known, as a regression gives far shorter ones.
    """

    matrix: Floats
    """(w, d) the map."""
    words_mean: Floats
    """(w,) of the items that somebody likes, each as `trust` weighs it."""
    vectors_mean: Floats
    """(d,) the same of what they add."""
    length: Floats
    """(1,) the mean length of what they add."""
    said: Floats
    """(n_items, d) of new items; zeros of all others, which say what likes say, or nothing."""

    @classmethod
    def fit(cls, words: Words, counts: NDArray[np.int64], vectors: Floats) -> Self:
        """Learn from the items that somebody likes.

        Args:
            words: of all items, and which are new.
            counts: (n_items,) how many people like each.
            vectors: (n_items, d) what each adds to a history.
        """
        own, known = np.asarray(words.vectors, dtype=np.float64)[1:], counts > 0
        told = trust(counts[known], words.config.k)[:, None]
        matrix, words_mean, vectors_mean = (
            of.astype(np.float32) for of in ridge(own[known], vectors[known], told, words.config.l2)
        )
        length = np.linalg.norm(vectors[known], axis=1).mean(keepdims=True).astype(np.float32)
        said = np.zeros(vectors.shape, dtype=np.float32)
        model = cls(matrix, words_mean, vectors_mean, length, said)
        if words.new is not None:
            new = np.flatnonzero(words.new[1:] & ~known)
            said[new] = model._of(words.vectors[1:][new])
        return model

    def with_items(self, vectors: Floats, centre: Floats | None) -> Self:
        """The same with further items, all of them new, whose words are (n, w); `centre` is the prior's."""
        more = self._of(vectors if centre is None else centred(vectors, centre))
        return replace(self, said=np.concatenate([self.said, more]))

    @property
    def speaks(self) -> NDArray[np.bool_]:
        """(n_items,) whose words speak for them."""
        spoken: NDArray[np.bool_] = np.abs(self.said).sum(1) > 0
        return spoken

    def save(self, folder: Path) -> None:
        """Write `history.safetensors` into a folder that is being made."""
        write_tensors(
            {field.name: torch.from_numpy(getattr(self, field.name)) for field in fields(self)}, folder / HISTORY_FILE
        )

    @classmethod
    def load(cls, folder: Path, n_items: int) -> Self | None:
        """Read what `save` wrote; None where there is none, as in what was saved before there was such a thing."""
        path = Path(folder) / HISTORY_FILE
        if not path.is_file():
            return None
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        names = {field.name for field in fields(cls)}
        if arrays.keys() != names or arrays["said"].shape != (n_items, *arrays["vectors_mean"].shape):
            raise CCFError(f"{path}: does not hold what new items say in a history; save the model again")
        return cls(**arrays)

    def _of(self, words: Floats) -> Floats:
        """(n, d) from words (n, w)."""
        told = (words - self.words_mean) @ self.matrix + self.vectors_mean
        lengths = np.maximum(np.linalg.norm(told, axis=1, keepdims=True), 1e-12)
        scaled: Floats = (self.length * told / lengths).astype(np.float32)
        return scaled
