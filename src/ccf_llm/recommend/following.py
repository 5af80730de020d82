"""What people choose next, and what the same people like: retrievers fitted on the likes of a data set."""

from copy import copy
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.cf.ease import EASE
from ccf_llm.cf.knn import ItemKNN
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import EASEConfig, KNNConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix
from ccf_llm.data.rows import Codes, Floats
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError


class Following:
    """Knows all likes of a data set and no user: a person is a history, and a new like counts at once.

    What it needs is fitted at first use and kept.

    Args:
        dataset: the likes.
        items: whose codes are asked with and answered in: the model's, every item of the data set among them.
        told: over the same codes, a retriever with a prior from text, which knows what to expect of items that nobody
            likes.
    """

    def __init__(self, dataset: Dataset, items: Vocabulary, told: Retriever | None = None) -> None:
        self._dataset, self._items, self._told = dataset, items, told

    @cached_property
    def retriever(self) -> Retriever:
        """What orders by the next choice: EASE or, where its matrix does not fit the memory, `neighbours`."""
        try:
            return EASE.fit(self._likes, config=EASEConfig(dim=0))
        except CCFError:  # whatever else is wrong is said by the other one too
            return self.neighbours

    @cached_property
    def neighbours(self) -> ItemKNN:
        """Says what is liked by the same people.

        The weights of EASE say what a like adds to all others, not how near two items are: beside Star Wars they put
        The Godfather before The Empire Strikes Back. And a shrunk cosine can stand beside a cosine of words.
        """
        # Without it two items that one person likes would be as alike as two can be.
        return ItemKNN.fit(self._likes, config=KNNConfig(dim=0, shrink=10.0))

    def scores(self, history: Codes, words: Floats) -> Floats:
        """(n_items,) of every item as the next one after these likes; by popularity where they say nothing.

        Items that nobody likes score as a retriever with a prior from text says of them, in units of the others'
        scores; without one, or where it knows nothing of the history, they come after all others, in the order of
        `words`, (n_items,) cosines. Raises `CCFError` where nobody likes anything.
        """
        scores = self._padded(self.retriever.scores(history[history <= self.retriever.n_items]))
        known = scores[self._liked]
        if self._told is not None and (self._told.popularity[history - 1] > 0).any():
            expected = self._told.scores(history)
            mean, spread = float(expected[self._liked].mean()), float(expected[self._liked].std()) or 1.0
            in_units: Floats = (known.mean() + (expected - mean) / spread * known.std()).astype(np.float32)
            return np.where(self._liked, scores, in_units)
        # Close behind, for diversity weighs a score by its place between the least and the largest.
        step = (np.ptp(known) or 1) / 100
        after: Floats = np.where(self._liked, scores, known.min() - step * (2 - words)).astype(np.float32)
        return after

    def similar(self, item: int, otherwise: Floats) -> Floats:
        """(n_items,) shrunk cosine of the likes of each item and of the one of this code; itself -inf.

        Where nobody likes one of the two, `otherwise`, (n_items,), says how close they are.
        """
        if len(self._liked) < 2 or not self._liked[item - 1]:
            return otherwise
        closeness: Floats = np.where(self._liked, self._padded(self.neighbours.similar(item)), otherwise)
        return closeness

    def prepare(self) -> None:
        """Fit now what would be fitted at first use; raises `CCFError` where nobody likes anything."""
        _ = self.retriever, self.neighbours

    def over(self, items: Vocabulary, told: Retriever | None = None) -> Self:
        """The same over a vocabulary that goes on with items that nobody likes; what was fitted is shared."""
        grown = copy(self)
        grown._items, grown._told = items, told
        vars(grown).pop("_liked", None)
        return grown

    def _padded(self, values: Floats) -> Floats:
        """(n_items,) with 0 for the items that came after the fit."""
        return np.pad(values, (0, len(self._items) - len(values)))

    @cached_property
    def _likes(self) -> csr_matrix:
        """(n_users + 1, n_items + 1) of ones; its columns are the codes of `items`."""
        likes = likes_matrix(self._dataset).tocoo()
        columns = self._dataset.item_vocabulary.translated(self._items)[likes.col]
        return csr_matrix((likes.data, (likes.row, columns)), shape=(likes.shape[0], len(self._items) + 1))

    @cached_property
    def _liked(self) -> NDArray[np.bool_]:
        """(n_items,) which items somebody likes."""
        liked: NDArray[np.bool_] = self._likes.getnnz(axis=0)[1:] > 0
        return np.pad(liked, (0, len(self._items) - len(liked)))
