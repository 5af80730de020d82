"""Items found by words of their titles and of what else is told of them, forgiving of a typo."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from ccf_llm.errors import CCFError
from ccf_llm.text.works import fold

ELSEWHERE, MISSPELT = 1.0, 10.0
"""What a word costs that stands beside the title only, and each letter that is wrong."""


class WordSearch:
    """All places are positions in the lists that it is made of.

    Args:
        titles: of the items, as they are shown.
        further: other words of each, such as authors and genres; may be empty.
    """

    def __init__(self, titles: Sequence[str], further: Sequence[str]) -> None:
        self.titles = pl.Series([fold(title) for title in titles], dtype=pl.String)
        """Folded."""
        more = pl.Series([fold(words) for words in further], dtype=pl.String)
        self._texts = self.titles + " " + more

    def find(self, words: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places of the items that hold all words, whatever their case and accents, and what is amiss with each: 0
        where all stand in the title.

        Where no item holds them, those that hold words spelt nearly so: one letter wrong, missing, too many or swapped
        with the next, two in words of 8 letters and more.

        Raises:
            CCFError: there are no words, or nothing but signs that every item holds.
        """
        wanted = fold(words).split()
        cost = self._cost(wanted, forgiving=False)
        if not np.isfinite(cost).any():
            cost = self._cost(wanted, forgiving=True)
        found = np.flatnonzero(np.isfinite(cost))
        if not wanted or (len(found) == len(cost) and not any(c.isalnum() for c in words)):
            raise CCFError(f"no words given in {words!r}; write a title, or a part of one")
        return found, cost[found]

    def _cost(self, wanted: list[str], *, forgiving: bool) -> NDArray[np.float64]:
        """(n,) infinite where an item holds not all words."""
        total = np.zeros(len(self.titles))
        for word in wanted:
            cost = np.full(len(total), np.inf)
            for wrong in (2, 1) if forgiving else ():
                near = self._near(word, wrong)
                if near:
                    cost[self._texts.str.contains_any(near).to_numpy()] = wrong * MISSPELT
            cost[self._texts.str.contains(word, literal=True).to_numpy()] = ELSEWHERE
            cost[self.titles.str.contains(word, literal=True).to_numpy()] = 0
            total += cost
        return total

    def _near(self, word: str, wrong: int) -> list[str]:
        """The words of all items that are so many letters away."""
        if wrong > (len(word) >= 3) + (len(word) >= 8):
            return []
        found = process.extract(word, self._words, scorer=OSA.distance, score_cutoff=wrong, limit=None)
        return [near for near, distance, _ in found if distance == wrong]

    @cached_property
    def _words(self) -> list[str]:
        return self._texts.str.extract_all(r"\w+").explode().drop_nulls().unique().sort().to_list()
