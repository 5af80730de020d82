"""What trees read of the candidates of a list: the retriever, the order of the history, popularity, and words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.clock import Clock
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.store import WEIGHTS_FILE
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.tensors import read_tensors, write_tensors

LAST = (1, 3, 5, 10, 20)
"""How many of the latest likes the mean likenesses look at, beside all."""
HALF_LIFE = 10
"""Likes after which one weighs half as much, where likes weigh by recency."""
RECENT = 0.25
"""Share of all likes, the newest, that are recent."""

_SPARSE = ("data", "indices", "indptr")
"""What a sparse matrix is made of."""

Columns = dict[str, NDArray[np.floating]]
"""(m,) features of one person's candidates, by name."""


@dataclass(frozen=True, eq=False)
class Likes:
    """Who likes what, and which of it is recent."""

    all: csr_matrix
    """(n_users + 1, n_items + 1) int32, 1 where the user likes the item."""
    recent: csr_matrix
    """The same of the newest likes; empty where there are no times."""
    clock: Clock | None = None
    """What the moment says of items, where lists are asked for at one that all share."""

    @classmethod
    def of(cls, likes: csr_matrix, times: csr_matrix | None = None, *, clocked: bool = False) -> Self:
        """From `data.likes.likes_matrix` and the seconds of `like_times`; `clocked`: with a clock."""
        liked = csr_matrix(likes > 0, dtype=np.int32)
        if times is None or not times.nnz or times.data.min() == times.data.max():
            return cls(liked, csr_matrix(liked.shape, dtype=np.int32))
        recent = csr_matrix(times > np.quantile(times.data, 1 - RECENT), dtype=np.int32)
        return cls(liked, recent, Clock.of(times) if clocked else None)


@dataclass(frozen=True, eq=False)
class RankFeatures:
    """Counts of likes, and what follows from them for a candidate; whose likes they were is not kept.

    The lists of training ask for likes that are counted. So `own` takes the person's own like of a candidate out of all
    counts, exactly: what is left knows the person's history and not what is to be found, as where lists are measured.
    """

    likes: NDArray[np.int32]
    """(n_items + 1,) training users who like each item."""
    recent: NDArray[np.int32]
    """(n_items + 1,) those whose like is recent."""
    both: csr_matrix
    """(n_items + 1, n_items + 1) int32, users who like both."""
    words: ItemWords | None
    """What the items' texts say; None leaves them out."""
    clock: Clock | None = None
    """What the moment says of items, where there is one."""

    @classmethod
    def fit(cls, likes: Likes, words: ItemWords | None = None) -> Self:
        """Count."""
        both = csr_matrix(likes.all.T @ likes.all)
        both.sort_indices()
        counts, recent = (of.sum(0).A1.astype(np.int32) for of in (likes.all, likes.recent))
        return cls(counts, recent, both, words, likes.clock)

    def of(self, candidates: Candidates, own: Likes | None = None) -> dict[str, Floats]:
        """(U, m) of each feature; NaN where nothing can be said, such as for code 0. `own`: see the class."""
        found: dict[str, Floats] = {}
        for person, (user, history) in enumerate(zip(candidates.asked.users, candidates.asked.histories, strict=True)):
            items = candidates.items[person]
            mine, lately = (_cells(own.all, user, items), _cells(own.recent, user, items)) if own else (0, 0)
            columns = _retriever(items, candidates.scores[person]) | self._order(items, history, mine)
            columns |= self._popularity(items, history, mine, lately)
            if self.words is not None:
                columns |= word_columns(self.words, items, history)
            if self.clock is not None:
                columns |= self.clock.columns(items, self._years)
            for name, values in columns.items():
                if person == 0:
                    found[name] = np.empty(candidates.items.shape, dtype=np.float32)
                found[name][person] = np.where(items > 0, values, np.nan)
        return found

    def save(self, folder: Path) -> None:
        """Write `cf.safetensors` into `folder`."""
        arrays = {
            "likes": self.likes,
            "recent": self.recent,
            **{f"both.{part}": getattr(self.both, part) for part in _SPARSE},
            **{f"words.{name}": of for name, of in (self.words.arrays() if self.words else {}).items()},
            **{f"clock.{name}": of for name, of in (self.clock.arrays() if self.clock else {}).items()},
        }
        write_tensors({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where the file is missing or damaged."""
        path = folder / WEIGHTS_FILE
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        told, then = (_named(arrays, prefix) for prefix in ("words.", "clock."))
        try:
            likes, (data, indices, indptr) = arrays["likes"], (arrays[f"both.{part}"] for part in _SPARSE)
            both = csr_matrix((data, indices, indptr), shape=(len(likes), len(likes)))
            words, clock = ItemWords(**told) if told else None, Clock(**then) if then else None
            return cls(likes, arrays["recent"], both, words, clock)
        except (KeyError, TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold counts of likes ({one_line(error)}); save the model again") from None

    @property
    def _years(self) -> Floats | None:
        return self.words.years if self.words is not None and len(self.words.years) else None

    def _order(self, items: Codes, history: Codes, own: NDArray[np.int32] | int) -> Columns:
        """Cosines of the candidate's likes and those of each like of the history, over stretches of it."""
        latest = history[::-1]
        together = self.both[items][:, latest].toarray() - np.reshape(own, (-1, 1))
        pairs = np.outer(self.likes[items] - own, self.likes[latest])
        likeness = np.maximum(together, 0) / np.sqrt(np.maximum(pairs, 1))  # (m, h), the latest like first
        weights = 0.5 ** (np.arange(len(latest)) / HALF_LIFE)
        columns: Columns = {f"likeness to the last {n}": _mean(likeness[:, :n]) for n in LAST}
        columns |= {"likeness to all": _mean(likeness), "likeness by recency": _mean(likeness, weights)}
        columns |= {
            "likeness in the list": _in_list(columns["likeness by recency"]),
            "largest likeness to the last 10": likeness[:, :10].max(1, initial=0),
            "largest likeness": likeness.max(1, initial=0),
        }
        return columns

    def _popularity(
        self, items: Codes, history: Codes, own: NDArray[np.int32] | int, lately: NDArray[np.int32] | int
    ) -> Columns:
        likes = self.likes[items] - own
        logs = np.log1p(likes)
        usual = np.log1p(self.likes[history]).mean() if len(history) else np.nan
        return {
            "popularity": logs,
            "recent share": (self.recent[items] - lately) / np.maximum(likes, 1),
            "popularity beyond the history's": logs - usual,
            "history length": np.full(len(items), np.log1p(len(history))),
        }


def _named(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Those whose names begin so, without it."""
    return {name.removeprefix(prefix): of for name, of in arrays.items() if name.startswith(prefix)}


def _retriever(items: Codes, scores: Floats) -> Columns:
    """Scores of lists of different people are not on one scale, so they are also told relative to the list."""
    real = scores[items > 0]
    mean, spread = (real.mean(), max(real.std(), 1e-9)) if len(real) else (0.0, 1.0)
    return {
        "rank": np.arange(1.0, len(items) + 1),
        "score": scores,
        "score below the best": scores - scores[0],
        "score in the list": (scores - mean) / spread,
    }


def word_columns(words: ItemWords, items: Codes, history: Codes) -> Columns:
    """What the words of (m,) candidates have to do with those of a history; of each kind that the items have."""
    columns: Columns = {}
    stretches = {"the last 5": history[-5:], "the last 20": history[-20:], "all": history}
    if words.categories.shape[1]:
        own = words.categories[items]
        columns["categories"] = own.sum(1)
        for name, likes in stretches.items():  # shares of the likes with each of its categories
            columns[f"categories of {name}"] = own @ _mean(words.categories[likes].T) / np.maximum(own.sum(1), 1)
    if words.years.shape[0]:
        columns["year"] = words.years[items]
        for name, likes in stretches.items():
            columns[f"years after {name}"] = words.years[items] - _mean_known(words.years[likes])
            columns[f"years from {name}"] = np.abs(columns[f"years after {name}"])
    if words.vectors.shape[1]:
        cosines = words.vectors[items] @ words.vectors[history[::-1]].T
        for name, likes in stretches.items():
            columns[f"words of {name}"] = _mean(cosines[:, : len(likes)])
        columns["nearest words of the last 10"] = cosines[:, :10].max(1, initial=-1)
        columns["nearest words"] = cosines.max(1, initial=-1)
        columns["words in the list"] = _in_list(columns["words of all"])
    return columns


def _mean_known(years: Floats) -> float:
    """Without NaN; NaN where no year is known."""
    known = years[~np.isnan(years)]
    return float(known.mean()) if len(known) else np.nan


def _mean(likeness: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
    """(m,) over the likes; NaN without any."""
    if not likeness.shape[1]:
        return np.full(len(likeness), np.nan)
    means: NDArray[np.floating] = np.average(likeness, axis=1, weights=weights)
    return means


def _in_list(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """In standard deviations of the list from its mean."""
    standard: NDArray[np.floating] = (values - values.mean()) / max(values.std(), 1e-9)
    return standard


def _cells(matrix: csr_matrix, row: int, columns: Codes) -> NDArray[np.int32]:
    """(m,) cells of one row; its column indices are sorted."""
    marked = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return np.isin(columns, marked).astype(np.int32)
