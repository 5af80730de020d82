"""Self-attentive sequential recommendation (SASRec; Kang and McAuley 2018), trained with softmax over the catalogue."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ccf_llm.cf.prior import Words
from ccf_llm.cf.retriever import Retriever, cosines
from ccf_llm.cf.sequence import Lesson, Sequences, States, teach
from ccf_llm.cf.settings import SASRecSoftmaxConfig
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.io.mapped import by_rows, columns_counted
from ccf_llm.io.progress import Say
from ccf_llm.randomness import seeded


@dataclass(frozen=True, eq=False)
class SASRecSoftmax(Retriever):
    """score(i) = h . q_i + b_i, less the least of them, where h is the state of a causal transformer at the last of the
    likes, in their order. It is made of the same q. Items that nobody likes have 0, the least.

    In training each user's likes stand in time, those of one second by code; without times all by code. Weights of
    likes do not count. `sasrec` is the same network taught by labels, for the rating task.
    """

    kind: ClassVar[str] = "sasrec_softmax"
    config_type: ClassVar[type[SASRecSoftmaxConfig]] = SASRecSoftmaxConfig

    config: SASRecSoftmaxConfig
    columns: NDArray[np.int64]
    """(m,) the columns of the items that somebody likes in training."""
    items: Floats
    """(m, d + 1) q and b."""
    network: Floats
    """(p,) the transformer's parameters, one after the other."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a network of another size."""
        expected = sum(parameter.numel() for parameter in _blank(self.config).parameters())
        if self.network.shape != (expected,):
            raise ValueError(f"network has {self.network.size} parameters, not {expected}")

    @classmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: SASRecSoftmaxConfig,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        counts = columns_counted(likes)
        columns = np.flatnonzero(counts)
        cells, codes = likes if times is None else times, np.cumsum(counts > 0, dtype=np.int32)
        in_time = by_rows(cells, lambda some: _in_time(some, codes, timed=times is not None))
        lesson = Lesson(Sequences(in_time.indices, in_time.indptr), counts[columns], config)
        with seeded(seed):
            states, items = teach(lesson, seed, progress)
        network = parameters_to_vector(states.parameters()).detach()
        return {"columns": columns, "items": items[1:].numpy(), "network": network.numpy()}

    @cached_property
    def _states(self) -> States:
        states = _blank(self.config).to_empty(device="cpu").eval().requires_grad_(False)
        vector_to_parameters(torch.from_numpy(self.network), states.parameters())
        return states

    def _score(self, histories: list[Codes]) -> Floats:
        scores = np.zeros((len(histories), self.n_items), dtype=np.float32)
        found = self._history_vectors(histories) @ self.items.T
        scores[:, self.columns] = found - found.min(axis=1, keepdims=True)
        return scores

    def _similar(self, column: int) -> Floats:
        """Cosine of q."""
        return cosines(self._item_vectors()[:, :-1], column)

    def _item_vectors(self) -> Floats:
        vectors = np.zeros((self.n_items, self.items.shape[1]), dtype=np.float32)
        vectors[self.columns] = self.items
        return vectors

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        """(B, d + 1) state and 1."""
        vectors = np.zeros((len(histories), self.items.shape[1]), dtype=np.float32)
        told = [place for place, history in enumerate(histories) if len(history)]
        if told:
            vectors[told, :-1] = self._read([histories[place] for place in told])
            vectors[told, -1] = 1
        return vectors

    def _read(self, histories: list[Codes]) -> Floats:
        """(B, d) states of histories of 1 or more items, of which the last `history_length` count."""
        cut = [history[-self.config.history_length :] for history in histories]
        width = max(map(len, cut))
        sequence = np.zeros((len(cut), width, self.config.dim), dtype=np.float32)
        known = np.zeros((len(cut), width), dtype=np.bool_)
        for row, codes in enumerate(cut):
            sequence[row, width - len(codes) :] = self.items[np.searchsorted(self.columns, codes - 1), :-1]
            known[row, width - len(codes) :] = True
        states: Floats = self._states(torch.from_numpy(sequence), torch.from_numpy(known), last=True).numpy()
        return states


def _blank(config: SASRecSoftmaxConfig) -> States:
    """The network without values: no random numbers are drawn."""
    with torch.device("meta"):
        return States(config)


def _in_time(cells: csr_matrix, codes: NDArray[np.int32], *, timed: bool) -> csr_matrix:
    """The cells of each row by what they hold, which is their second if they are `timed`; of equal ones the lower
    column first. Columns are called by their `codes`, which rise."""
    rows = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
    order = np.lexsort((cells.indices, cells.data, rows) if timed else (cells.indices, rows))
    shape = cells.shape[0], int(codes[-1]) + 1
    return csr_matrix((cells.data[order], codes[cells.indices[order]], cells.indptr), shape=shape)
