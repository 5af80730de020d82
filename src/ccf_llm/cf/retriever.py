"""`Retriever`: what finds, in the whole catalogue, what a person known by likes alone would choose next."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from ccf_llm.cf.history_prior import HistoryPrior
from ccf_llm.cf.prior import Prior, Words
from ccf_llm.cf.settings import TAKE_WORDS, RetrieverConfig
from ccf_llm.cf.store import WEIGHTS_FILE, read_settings, stored
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.mapped import CELLS, by_rows, columns_counted
from ccf_llm.io.progress import Say
from ccf_llm.io.tensors import read_tensors, write_tensors

BATCH = 256
"""Histories whose scores of the whole catalogue are held at once."""


@dataclass(frozen=True, eq=False)
class Retriever(ABC):
    """A model of who likes what, fitted on likes and asked by history: it knows no user codes.

    So it ranks for people whom it never met, and a new like counts at once. A history holds item codes, oldest like
    first, which only some kinds look at; an item enters once, by its last place. Code 0 and items that nobody likes in
    training say nothing, but new ones for which words speak (`heard`). Where nothing is left, popularity ranks.

    A kind adds its arrays as fields, which are what is saved, and how they score.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[RetrieverConfig]]
    by_item: ClassVar[tuple[str, ...]] = ()
    """The kind's arrays that hold a row for each item, of zeros for one that nobody likes."""

    config: RetrieverConfig
    popularity: Floats
    """(n_items,) share of the training users with a like who like the item."""
    prior: Prior | None = field(default=None, kw_only=True)
    """What the words predict of the items' vectors; None where nobody asked for it."""
    heard: HistoryPrior | None = field(default=None, kw_only=True)
    """What likes of new items say, by their words; None where there is no prior, or the kind has no use for it."""

    @classmethod
    def fit(
        cls,
        likes: csr_matrix,
        *,
        config: RetrieverConfig | None = None,
        seed: int = 0,
        times: csr_matrix | None = None,
        words: Words | None = None,
        progress: Say | None = None,
    ) -> Self:
        """Learn from `likes`, (n_users + 1, n_items + 1) by user and item code (see `data.likes.likes_matrix`).

        A cell above 1 is a weight. `times` are the cells' seconds (see `data.likes.like_times`), for what looks at
        recency or order. `words` draw items with few likes to what they predict, in a kind that takes them;
        `progress` gets a line for each pass of a kind that takes some. Equal arguments give equal arrays, and the order
        of the users does not matter. Where cells lie in files (see `data.likes.mapped_likes`), `als` and
        `sasrec_softmax` hold some of them in memory at a time.

        Raises `CCFError` for a catalogue of one item, where nobody likes anything, and for times or words of other
        users and items.
        """
        known = by_rows(csr_matrix(likes), partial(_of_items, dtype=np.float64))
        if known.shape[1] < 2:
            raise CCFError("items: a catalogue of one item leaves nothing to rank; give at least two")
        if not known.nnz or known.data.min() <= 0:
            what = "a cell is not above 0" if known.nnz else "nobody likes anything in the training part"
            raise CCFError(f"likes: {what}; give clicks or likes, or a lower like threshold")
        someone = np.flatnonzero(np.diff(known.indptr))
        seconds = None if times is None else by_rows(_seconds(known, times), csr_matrix, someone)
        known = by_rows(known, csr_matrix, someone)
        config = cls.config_type() if config is None else config
        counts = columns_counted(known)
        popularity = (counts / known.shape[0]).astype(np.float32)
        learned: dict[str, Any] = cls._learn(known, config, seed, seconds, words, progress)
        model = cls(config=config, popularity=popularity, **learned)
        if words is None or cls.kind not in TAKE_WORDS:
            return model
        return model._drawn_to(Prior.fit(words, counts, model.item_vectors()), counts)._hearing(words, counts)

    @classmethod
    @abstractmethod
    def _learn(
        cls,
        likes: csr_matrix,
        config: Any,
        seed: int,
        times: csr_matrix | None,
        words: Words | None,
        progress: Say | None,
    ) -> dict[str, NDArray[np.generic]]:
        """The further fields, from likes (n_users, n_items) float64 without empty rows; item code c is column c - 1.

        `times` have the same cells in the same order. What only draws to the prior leaves `words` alone.
        """

    @abstractmethod
    def _score(self, histories: list[Codes]) -> Floats:
        """(B, n_items) scores by B times (h,) distinct codes of items that say something, oldest first; h > 0."""

    @abstractmethod
    def _similar(self, column: int) -> Floats:
        """(n_items,) how much the item of that column and each other are liked by the same people."""

    def _drawn_to(self, prior: Prior, counts: NDArray[np.int64]) -> Self:
        """The same with its items, (n_items,) liked so often, drawn to the prior, which it keeps."""
        raise NotImplementedError(f"{self.kind} takes no words")

    def _hearing(self, words: Words, counts: NDArray[np.int64]) -> Self:
        """The same that knows what likes of new items say, where the kind has a use for it."""
        return self

    @property
    def _fallback(self) -> Floats:
        """(n_items,) the scores where a history says nothing."""
        return self.popularity

    @property
    def n_items(self) -> int:
        """Items of the catalogue, without code 0."""
        return len(self.popularity)

    def with_items(self, n: int, words: Floats | None = None) -> Self:
        """The same model over `n` further items whose codes follow, of which it knows nothing: as if nobody liked them.

        A model with a prior knows their `words`, (n, w). Raises `CCFError` where `n` is below 0, and where it has a
        prior and the words are missing or of another shape.
        """
        if n < 0:
            raise CCFError(f"n: {n} further items; give 0 or more")
        longer: dict[str, Any] = {name: _with_rows(getattr(self, name), n) for name in ("popularity", *self.by_item)}
        if self.prior is not None:
            if words is None or len(words) != n:
                raise CCFError(f"words: give the vectors of the {n} further items, as this model has a prior from text")
            longer["prior"] = self.prior.with_items(words)
            if self.heard is not None:
                longer["heard"] = self.heard.with_items(words, self.prior.centre)
        return replace(self, **longer)

    def scores(self, history: Codes) -> Floats:
        """(n_items,) of every item, by code from 1, for a person who likes these item codes; higher is better."""
        one: Floats = self.scores_of([history])[0]
        return one

    def scores_of(self, histories: Sequence[Codes]) -> Floats:
        """(B, n_items) the same for B people."""
        known = self._known(histories)
        scores = np.tile(self._fallback, (len(histories), 1))
        told = [place for place, history in enumerate(known) if len(history)]
        if told:
            scores[told] = self._score([known[place] for place in told])
        return scores

    def top(self, histories: Sequence[Codes], k: int, seen: Sequence[Codes] | None = None) -> Codes:
        """(B, k) the item codes of `best`."""
        return self.best(histories, k, seen)[0]

    def best(self, histories: Sequence[Codes], k: int, seen: Sequence[Codes] | None = None) -> tuple[Codes, Floats]:
        """(B, k) the item codes of the best scores, best first, and these scores.

        Of equal ones the more popular comes first, then the lower code. `seen` are each person's item codes to leave
        out. Where these leave fewer than k, code 0 fills up, of score 0. Raises `CCFError` for k beyond the catalogue.
        """
        if not 1 <= k <= self.n_items:
            raise CCFError(f"k: {k} items of a catalogue of {self.n_items}; ask for 1 to {self.n_items}")
        by_popularity = np.argsort(-self.popularity, kind="stable")
        best = np.zeros((len(histories), k), dtype=np.int64)
        found = np.zeros((len(histories), k), dtype=np.float32)
        for batch in _batches(len(histories)):
            scores = self.scores_of(histories[batch])
            if seen is not None:
                for row, codes in zip(scores, seen[batch], strict=True):
                    row[self._checked(codes) - 1] = -np.inf
            for place, row in enumerate(scores[:, by_popularity], start=batch.start):
                least = np.partition(row, -k)[-k]
                columns = np.flatnonzero(row >= least)
                columns = columns[np.argsort(-row[columns], kind="stable")[:k]]
                left = ~np.isneginf(row[columns])
                best[place] = np.where(left, by_popularity[columns] + 1, 0)
                found[place] = np.where(left, row[columns], 0)
        return best, found

    def similar(self, item: int) -> Floats:
        """(n_items,) how much each item, by code from 1, is liked by those who like this one; itself -inf."""
        if not 1 <= item <= self.n_items:
            raise CCFError(f"item: code {item} is outside 1..{self.n_items}; encode it with the model's own vocabulary")
        scores = self._similar(item - 1).copy()
        scores[item - 1] = -np.inf
        return scores

    def item_vectors(self) -> Floats:
        """(n_items, d) vectors that a slot can hold, by code from 1; zeros for what nobody likes in training.

        Their products with a history's vector are its scores, as near as d dimensions come. Raises `CCFError` where
        the kind, or its setting `dim`, has none.
        """
        return self._with_width(self._item_vectors())

    def history_vectors(self, histories: Sequence[Codes]) -> Floats:
        """(B, d) vectors of people by their likes; zeros where these say nothing. Raises as `item_vectors`."""
        return self._with_width(self._history_vectors(self._known(histories)))

    def _item_vectors(self) -> Floats:
        """(n_items, d); d is 0 where the kind has none."""
        return np.zeros((self.n_items, 0), dtype=np.float32)

    def _history_vectors(self, histories: list[Codes]) -> Floats:
        """(B, d) by B times (h,) codes as for `_score`, or none of them."""
        return np.zeros((len(histories), 0), dtype=np.float32)

    def _with_width(self, vectors: Floats) -> Floats:
        if not vectors.shape[1]:
            raise CCFError(f"{self.kind}: has no vectors for slots; take ease, knn or als, with `dim` above 0")
        return vectors

    def save(self, folder: Path) -> None:
        """Write `cf.json` and `cf.safetensors` to `folder`, atomically; with a prior `prior.safetensors` too."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in self._arrays()}
        settings = {"config": self.config.model_dump(mode="json")}
        if self.prior is not None:
            settings["prior"] = self.prior.config.model_dump(mode="json")
        with stored(folder, self.kind, settings) as temporary:
            write_tensors(arrays, temporary / WEIGHTS_FILE)
            if self.prior is not None:
                self.prior.save(temporary)
            if self.heard is not None:
                self.heard.save(temporary)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing, damaged or of another kind."""
        settings = read_settings(folder, cls.kind)
        path = Path(folder) / WEIGHTS_FILE
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        try:
            if arrays.keys() != cls._arrays():
                raise ValueError(f"{sorted(arrays.keys() ^ cls._arrays())[0]} missing or unknown")
            model = cls(config=cls.config_type.model_validate(settings["config"]), **arrays)
        except (KeyError, ValueError, ValidationError) as error:
            raise CCFError(f"{path}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        if "prior" not in settings:
            return model
        prior = Prior.load(Path(folder), settings["prior"])
        if len(prior.predicted) != model.n_items:
            raise CCFError(f"{folder}: a prior of {len(prior.predicted)} items, not {model.n_items}; save it again")
        return replace(model, prior=prior, heard=HistoryPrior.load(Path(folder), model.n_items))

    @classmethod
    def _arrays(cls) -> set[str]:
        return {field.name for field in fields(cls)} - {"config", "prior", "heard"}

    def _known(self, histories: Sequence[Codes]) -> list[Codes]:
        """Each history's distinct items that somebody likes in training, or that words speak for, by the last place of
        each.
        """
        kept = [_distinct(self._checked(history)) for history in histories]
        return [codes[self._says[codes - 1]] for codes in kept]

    @cached_property
    def _says(self) -> NDArray[np.bool_]:
        """(n_items,) whether a like of it says anything."""
        liked: NDArray[np.bool_] = self.popularity > 0
        return liked if self.heard is None else liked | self.heard.speaks

    def _liked(self, histories: list[Codes], half_life: float | None = None) -> csr_matrix:
        """(B, n_items) float32 of what each like counts: the last 1, the one `half_life` before it half, and so on."""
        sizes = np.array([len(history) for history in histories], dtype=np.int64)
        columns = np.concatenate([np.zeros(0, dtype=np.int64), *histories]) - 1
        before_last = np.repeat(np.cumsum(sizes), sizes) - 1 - np.arange(len(columns))
        counts = np.ones(len(columns)) if half_life is None else 0.5 ** (before_last / half_life)
        shape = (len(histories), self.n_items)
        liked = csr_matrix((counts.astype(np.float32), columns, np.append(0, np.cumsum(sizes))), shape=shape)
        liked.sort_indices()
        return liked

    def _checked(self, codes: Codes) -> Codes:
        """The codes without 0; raises `CCFError` for one outside the catalogue."""
        codes = np.asarray(codes, dtype=np.int64)
        wrong = codes[(codes < 0) | (codes > self.n_items)]
        if len(wrong):
            raise CCFError(
                f"history: item code {wrong[0]} is outside 0..{self.n_items}; encode it with the model's own vocabulary"
            )
        return codes[codes > 0]


def _of_items(cells: csr_matrix, dtype: type | None = None) -> csr_matrix:
    """Without column 0, and sorted in each row."""
    items = csr_matrix(cells, dtype=dtype)[:, 1:]
    items.sort_indices()
    return items


def _seconds(likes: csr_matrix, times: csr_matrix) -> csr_matrix:
    """The times without column 0, whose cells stand in the order of the likes."""
    seconds = by_rows(csr_matrix(times), _of_items)
    if not (np.array_equal(likes.indptr, seconds.indptr) and _equal(likes.indices, seconds.indices)):
        raise CCFError("times: are of other users and items than the likes; give like_times of the same parts")
    return seconds


def _equal(one: Codes, other: Codes) -> bool:
    """Whether two arrays of one length are equal, looked at by pieces as they may be long."""
    pieces = (slice(begin, begin + CELLS) for begin in range(0, len(one), CELLS))
    return all(np.array_equal(one[piece], other[piece]) for piece in pieces)


def cosines(vectors: Floats, row: int) -> Floats:
    """(n,) cosine of each vector (n, d) and the one of that row; 0 where either is zero."""
    lengths = np.linalg.norm(vectors, axis=1)
    scale = np.maximum(lengths * lengths[row], np.finfo(np.float32).tiny)
    found: Floats = vectors @ vectors[row] / scale
    return found


def _distinct(codes: Codes) -> Codes:
    """Each code once, at its last place."""
    _, from_the_end = np.unique(codes[::-1], return_index=True)
    return codes[np.sort(len(codes) - 1 - from_the_end)]


def _with_rows(array: NDArray[Any], n: int) -> NDArray[Any]:
    """The array with `n` rows of zeros below."""
    return np.concatenate([array, np.zeros((n, *array.shape[1:]), dtype=array.dtype)])


def _batches(n: int) -> Iterator[slice]:
    for begin in range(0, n, BATCH):
        yield slice(begin, min(begin + BATCH, n))
