"""What trees read of a row: means, counts, neighbours and a factorisation, all from other training rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import MFConfig
from ccf_llm.cf.store import WEIGHTS_FILE
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors

NAMES = (
    "item mean",
    "user mean",
    "item rows",
    "user rows",
    "factorisation",
    "history length",
    "mean similarity",
    "largest similarity",
    "neighbours' rate",
    "neighbours",
)
SMOOTHING = 3.0
"""Rows at the overall rate that a neighbourhood is given first, as `ItemUserMean` does for users and items."""
BATCH = 4096


@dataclass(frozen=True)
class Features:
    """Fitted on training rows; gives the features of any others, in the order of `NAMES`.

    A neighbour of a candidate i is a training user who liked an item j of the row's history and has a row of i.
    """

    mean: ItemUserMean
    """Log-odds of the smoothed means."""
    mf: MF
    """Its log-odds, and the number of training rows of each user and item."""
    likes: NDArray[np.int64]
    """(2, L) user and item codes of the liked training rows."""
    dislikes: NDArray[np.int64]
    """(2, D) those of the others."""

    @classmethod
    def fit(cls, train: Rows, valid: Rows, *, n_users: int, n_items: int, config: MFConfig, seed: int) -> Self:
        """Read the training rows; `valid` only says when the factorisation is good enough."""
        known = train.take((train.users > 0) & (train.items > 0))
        pairs = np.stack([known.users, known.items])
        return cls(
            mean=ItemUserMean.fit(train, n_users=n_users, n_items=n_items, smoothing=SMOOTHING),
            mf=MF.fit(train, valid, n_users=n_users, n_items=n_items, config=config, seed=seed),
            likes=np.ascontiguousarray(pairs[:, known.labels == 1]),
            dislikes=np.ascontiguousarray(pairs[:, known.labels == 0]),
        )

    def of(self, rows: Rows, history_length: int) -> NDArray[np.float32]:
        """(N, F) features; those of the neighbourhood look at the last `history_length` likes."""
        liked, disliked = (self._matrix(pairs) for pairs in (self.likes, self.dislikes))
        both_liked = (liked.T @ liked).tocsr()  # (j, i) users who liked both
        then_disliked = (liked.T @ disliked).tocsr()  # (j, i) users who liked j and have a row of i that is no like
        parts = [np.zeros((0, len(NAMES)), dtype=np.float32)]
        for begin in range(0, len(rows), BATCH):
            part = rows.take(slice(begin, begin + BATCH))
            parts.append(
                np.column_stack(
                    [
                        self.mean.item_log_odds[part.items],
                        self.mean.user_log_odds[part.users],
                        np.log1p(self.mf.item_counts.numpy()[part.items]),
                        np.log1p(self.mf.user_counts.numpy()[part.users]),
                        self.mf.score(part),
                        np.log1p(part.end - part.start),
                        *self._neighbourhood(part, history_length, both_liked, then_disliked),
                    ]
                ).astype(np.float32)
            )
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write `mean/`, `mf/` and `cf.safetensors` into `folder`."""
        self.mean.save(folder / "mean")
        self.mf.save(folder / "mf")
        pairs = {"likes": torch.from_numpy(self.likes), "dislikes": torch.from_numpy(self.dislikes)}
        write_tensors(pairs, folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing or damaged."""
        path = folder / WEIGHTS_FILE
        pairs = read_tensors(path)
        try:
            likes, dislikes = pairs["likes"].numpy(), pairs["dislikes"].numpy()
        except KeyError as error:
            raise CCFError(f"{path}: does not hold training rows ({one_line(error)}); save the model again") from None
        return cls(ItemUserMean.load(folder / "mean"), MF.load(folder / "mf"), likes, dislikes)

    def _matrix(self, pairs: NDArray[np.int64]) -> csr_array:
        """(n_users + 1, n_items + 1) 1 where there is such a row."""
        shape = (self.mf.n_users + 1, self.mf.n_items + 1)
        matrix = csr_array((np.ones(pairs.shape[1], dtype=np.float32), (pairs[0], pairs[1])), shape=shape)
        matrix.data[:] = 1  # a repeated row counts once
        return matrix

    def _neighbourhood(
        self, rows: Rows, history_length: int, both_liked: csr_array, then_disliked: csr_array
    ) -> tuple[NDArray[np.floating], ...]:
        """(N,) mean and largest cosine of the candidate's and a history item's likes; rate and number of neighbours."""
        history = rows.padded_histories(history_length)  # (N, H)
        items = np.broadcast_to(rows.items[:, None], history.shape)
        likes, dislikes = (_at(matrix, history, items) for matrix in (both_liked, then_disliked))
        per_item = np.maximum(both_liked.diagonal(), 1)
        similarity = likes / np.sqrt(per_item[history] * per_item[items])
        present = np.maximum((history > 0).sum(1), 1)
        share = self.likes.shape[1] / (self.likes.shape[1] + self.dislikes.shape[1])
        for_it, against = likes.sum(1) + SMOOTHING * share, dislikes.sum(1) + SMOOTHING * (1 - share)
        neighbours = likes.sum(1) + dislikes.sum(1)
        return similarity.sum(1) / present, similarity.max(1), np.log(for_it / against), np.log1p(neighbours)


def _at(matrix: csr_array, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The elements of a sparse matrix at (N, H) places."""
    return np.asarray(matrix[rows.ravel(), columns.ravel()]).reshape(rows.shape)
