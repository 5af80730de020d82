"""Prior from text: what the words of an item predict of its vector, for where few likes say anything of their own."""

from dataclasses import dataclass, fields, replace
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
LIGHTER = 0.3
"""Of the penalty, what the map to lengths bears: one number of an item holds less chance than its vector. Chosen by
items held out of train and valid, of MovieLens-100K and latest-small."""
NEAR, STEEP = 0.8, 0.05
"""A well-known item counts as exp((cosine - NEAR) / STEEP) in what is told of a new one, the maps as 1."""
BATCH = 256
"""New items that are told of at once."""
MOST = 20_000
"""Items, the most liked, that are looked at so."""
STATES = 0.5
"""Length of what a language model says of an item, where a sentence encoder's vector has 1. Chosen by new items drawn
within train and valid (docs/retrievers.md)."""
_ARRAYS = ("matrix", "words_mean", "vectors_mean", "predicted")


@dataclass(frozen=True, eq=False)
class Words:
    """What the items' words say, and how much it counts."""

    vectors: Floats
    """(n_items + 1, w) by item code, of any encoder; row 0 is no item."""
    config: PriorConfig
    new: NDArray[np.bool_] | None = None
    """(n_items + 1,) which items are new: nobody could meet them yet. None for none."""
    centre: Floats | None = None
    """(t,) what was taken off the last t numbers of every row, see `centred`; None: nothing."""

    @classmethod
    def of(cls, vectors: Floats, config: PriorConfig, new: NDArray[np.bool_] | None = None, *, states: int = 0) -> Self:
        """Of (n_items, w) vectors, whose last `states` numbers are a language model's: their mean over what is not new
        is taken off.
        """
        centre = None
        if states:
            centre = vectors[:, -states:][slice(None) if new is None else ~new[1:]].mean(0)
            vectors = centred(vectors, centre)
        return cls(np.pad(vectors, ((1, 0), (0, 0))), config, new, centre)  # row 0 is no item


@dataclass(frozen=True, eq=False)
class Prior:
    """Ridge regression from vectors of words e to vectors of items q, each item weighted by what is known of it:

        the least sum over i of n_i / (n_i + k) |q_i - m_q - C'(e_i - m_e)|^2 + l2 |C|^2

    where n_i people like the item, and the means m are weighted likewise. An item is then drawn to the prediction:

        n / (n + k) own + k / (n + k) predicted

    so a new one, n = 0, is the prediction alone. Of an item that somebody likes the prediction is taken at the length
    of its own vector: that few like it is known, and words know less of it. At its full length it would put what few
    like where the liked are.

    Of a new item more is predicted (see `Further`), and it has the length of what is liked. What is not new, and yet
    liked by nobody, was passed over: that keeps the short prediction.
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
    further: "Further | None" = None
    """What new items are told by; None in what was saved before there was such a thing: they keep the prediction."""
    centre: Floats | None = None
    """As `Words` has it: further items' words are read so too."""

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
        matrix, words_mean, vectors_mean = ridge(own[known], vectors[known], told, config.l2)
        every = (matrix, words_mean, vectors_mean, (own - words_mean) @ matrix + vectors_mean)
        arrays: dict[str, Any] = {name: of.astype(np.float32) for name, of in zip(_ARRAYS, every, strict=True)}
        prior = cls(config, **arrays, centre=words.centre)
        further = Further.fit(words, counts, vectors, prior.predicted)
        if words.new is not None:
            new = np.flatnonzero(words.new[1:] & ~known)
            prior.predicted[new] = further.told(prior.predicted[new], words.vectors[1:][new], config)
        return replace(prior, further=further)

    def with_items(self, vectors: Floats) -> Self:
        """The same with the predictions of further items, whose words are (n, w)."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self.words_mean):
            width = len(self.words_mean)
            raise CCFError(f"words: shape {vectors.shape}; give (items, {width}), of the encoder that the prior knows")
        if self.centre is not None:
            vectors = centred(vectors, self.centre)
        more: NDArray[np.floating[Any]] = (vectors - self.words_mean) @ self.matrix + self.vectors_mean
        if self.further is not None:
            more = self.further.told(more, vectors, self.config)
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
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.centre is not None:
            arrays["centre"] = self.centre
        if self.further is not None:
            arrays |= {field.name: getattr(self.further, field.name) for field in fields(Further)}
        write_tensors({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / PRIOR_FILE)

    @classmethod
    def load(cls, folder: Path, config: Any) -> Self:
        """Read what `save` wrote, with the settings that stand beside it; a `CCFError` where it is damaged."""
        path = Path(folder) / PRIOR_FILE
        arrays = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        names = [field.name for field in fields(Further)]
        told = {name: arrays.pop(name) for name in names if name in arrays}
        try:
            prior = cls(PriorConfig.model_validate(config), **arrays, further=Further(**told) if told else None)
            if prior.matrix.shape != (*prior.words_mean.shape, *prior.vectors_mean.shape):
                raise ValueError(f"a map of shape {prior.matrix.shape}")
            if prior.centre is not None and not (prior.centre.ndim == 1 and len(prior.centre) <= len(prior.words_mean)):
                raise ValueError(f"a centre of shape {prior.centre.shape}")
        except (TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a prior ({one_line(error)}); save it again") from None
        return prior


def centred(vectors: Floats, centre: Floats) -> Floats:
    """(n, w) vectors whose last t numbers are a language model's states, less the centre (t,) and at length `STATES`.

    A few numbers of such states are far larger than the others and nearly the same for every text (Mu and Viswanath,
    *All-but-the-Top*, 2018): taken off, what tells texts apart remains.
    """
    begin = vectors.shape[1] - len(centre)
    found: Floats = np.hstack([vectors[:, :begin], STATES * _unit(vectors[:, begin:] - centre)])
    return found


def trust(counts: NDArray[np.int64], k: float) -> NDArray[np.float64]:
    """(n,) how much an item with so many likes is its own, 0 to 1."""
    share: NDArray[np.float64] = counts / (counts + k)
    return share


@dataclass(frozen=True, eq=False)
class Further:
    """What is told of a new item e, from the items i that somebody likes, whose words are e_i:

        r = sum over i of w_i (q_i - p_i) / (1 + sum of w_i),    w_i = n_i / (n_i + k) exp((e . e_i - NEAR) / STEEP)

    is added to the map's p, as what a near item has beside its own prediction is its like's too: the sequel of a film
    is for those who like that film. The length of the sum is predicted apart, by a map to |q| and the same sum of what
    near items have beside it: a regression of vectors that point in many directions gives far shorter ones than
    theirs, and would put what is new behind all that is known. It is taken `new_length` times.
    """

    slope: Floats
    """(w + 1,) the map from words, and last a 1, to a vector's length."""
    words: Floats
    """(m, w) e_i at length 1, of the `MOST` most liked."""
    beside: Floats
    """(m, d) q_i less its prediction."""
    longer: Floats
    """(m,) |q_i| less its prediction."""
    shares: Floats
    """(m,) n_i / (n_i + k)."""

    @classmethod
    def fit(cls, words: Words, counts: NDArray[np.int64], vectors: Floats, predicted: Floats) -> Self:
        """Learn from the items that somebody likes; arrays by item, as `Prior.fit` has them."""
        liked = np.flatnonzero(counts)
        own, lengths = words.vectors[1:][liked].astype(np.float64), np.linalg.norm(vectors[liked], axis=1)
        shares = trust(counts[liked], words.config.k)
        slope, words_mean, mean = ridge(own, lengths[:, None], shares[:, None], LIGHTER * words.config.l2)
        slope = np.append(slope[:, 0], mean - words_mean @ slope)
        longer = lengths - (own @ slope[:-1] + slope[-1])
        most = np.argsort(-counts[liked], kind="stable")[:MOST]
        arrays = (slope, _unit(own[most]), (vectors - predicted)[liked[most]], longer[most], shares[most])
        return cls(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))

    def told(
        self, predicted: NDArray[np.floating[Any]], words: Floats, config: PriorConfig
    ) -> NDArray[np.floating[Any]]:
        """(n, d) of new items whose words are (n, w), from the map's predictions of them."""
        told = np.empty_like(predicted)
        for begin in range(0, len(words), BATCH):
            some = slice(begin, begin + BATCH)
            near = np.exp((_unit(words[some]) @ self.words.T - NEAR) / STEEP) * self.shares  # (b, m)
            near /= 1 + near.sum(1, keepdims=True)
            direction = predicted[some] + near @ self.beside
            length = words[some] @ self.slope[:-1] + self.slope[-1] + near @ self.longer
            short = np.linalg.norm(predicted[some], axis=1)  # at least as long as the map alone has it
            told[some] = _unit(direction) * (config.new_length * np.maximum(length, short))[:, None]
        return told


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Each at length 1; zeros stay."""
    found: NDArray[Any] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def ridge(
    words: NDArray[np.float64], wanted: NDArray[Any], weights: NDArray[np.float64], l2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The map (w, d), and the means of words (n, w) and of what is wanted (n, d), of rows that weigh (n, 1)."""
    words_mean, wanted_mean = ((weights * of).sum(0) / weights.sum() for of in (words, wanted))
    centred = words - words_mean
    gram = centred.T @ (weights * centred) + l2 * np.eye(words.shape[1])
    return np.linalg.solve(gram, centred.T @ (weights * (wanted - wanted_mean))), words_mean, wanted_mean
