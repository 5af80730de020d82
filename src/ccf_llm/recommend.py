"""Retrieve with the CF model, re-rank with the language model, filter what was seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.api import CCFLLM, probability
from ccf_llm.catalogue import Catalogue
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError

Floats = NDArray[np.float32]

Order = Literal["fused", "cf", "text"]
"""What decides: `fused`, the model; `cf`, the CF model alone; `text`, how close the titles are to those liked."""

SCHEMA: dict[str, type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "rank": pl.Int64,
    "score": pl.Float32,
    "probability": pl.Float64,
    "cf_rank": pl.Int64,
    "text_rank": pl.Int64,
    "collaborative_share": pl.Float32,
}


@dataclass(frozen=True)
class Person:
    """Whom recommendations are for, in the model's codes."""

    user: int
    """0 for a person whom the model does not know."""
    history: Codes
    """Liked items, oldest first."""
    seen: Codes
    """Items to leave out."""


@dataclass(frozen=True)
class Filters:
    """Which items may be recommended, by their ids."""

    allow: Sequence[str] | None = None
    """Only these, all of them re-ranked; None for the CF model's best."""
    deny: Sequence[str] = ()
    """Never these."""
    category: str | None = None
    """Only items of this category (see `Catalogue.categories`)."""


@dataclass(frozen=True)
class Shortlist:
    """What is left after retrieval, to be put in order."""

    person: Person
    items: Codes
    """(n,) codes, best first by what they were retrieved with."""
    scores: Floats
    """(n,) what they were retrieved with: CF log-odds or, for the order `text`, the cosine of their titles."""
    cf_rank: NDArray[np.int64]
    """(n,) from 1, among all items that the filters leave."""
    text_rank: NDArray[np.int64]
    """(n,) from 1, among the same."""

    def rows(self) -> Rows:
        """The rows to score with the model."""
        return Rows.for_candidates(self.person.history, self.items, user=self.person.user)


class Recommender:
    """Recommendations from a trained model.

    Args:
        model: scores the candidates.
        dataset: the users' likes and what they have seen; its items must be the model's.
        retrieve: how many of the CF model's best items the language model re-ranks.
    """

    def __init__(self, model: CCFLLM, dataset: Dataset, retrieve: int = 100) -> None:
        """Raises `CCFError` where the data set holds other items than the model."""
        if dataset.items["item_id"].to_list() != model.items["item_id"].to_list():
            raise CCFError(f"dataset {dataset.name}: its items are not those that the model was trained on")
        self.model, self.dataset, self.retrieve = model, dataset, retrieve
        self.catalogue = Catalogue(model)

    def recommend(
        self,
        users: Iterable[str],
        k: int = 10,
        *,
        filter_seen: bool = True,
        candidates: list[str] | None = None,
        order: Order = "fused",
    ) -> pl.DataFrame:
        """The best `k` items for each user.

        Args:
            users: ids of the data set's users.
            k: how many.
            filter_seen: leave out what the user has interacted with.
            candidates: item ids to choose from, instead of the CF model's best.
            order: what decides.

        Returns:
            user_id, item_id, title, rank (from 1), score (log-odds; in the order `text` a cosine), probability (null in
            the order `text`), the item's rank by CF alone and by text alone, and the collaborative share of its slot.

        Raises:
            CCFError: an unknown user or candidate, or k below 1.
        """
        frames = []
        for user in users:
            if self.dataset.user_vocabulary.code(user) == 0:
                raise CCFError(
                    f"user '{user}': not in data set {self.dataset.name}; recommend from liked items instead"
                )
            frame = self._best(self.person(user, filter_seen=filter_seen), k, candidates, order)
            frames.append(frame.insert_column(0, pl.Series("user_id", [user] * len(frame), dtype=pl.String)))
        return pl.concat(frames) if frames else pl.DataFrame(schema={"user_id": pl.String, **SCHEMA})

    def recommend_for_history(
        self, items: list[str], k: int = 10, *, candidates: list[str] | None = None, order: Order = "fused"
    ) -> pl.DataFrame:
        """The best `k` items for a person who is not a user but likes these items (ids, oldest first).

        Returns:
            The columns of `recommend` but for user_id.
        """
        history = self.codes(items, "history")
        return self._best(Person(0, history, history), k, candidates, order)

    def find_items(self, title: str) -> pl.DataFrame:
        """item_id and title of the items whose title holds the words given, the closest first."""
        found = self.catalogue.search(title)
        return pl.DataFrame(
            {
                "item_id": self.model.item_vocabulary.decode(found),
                "title": [self.catalogue.titles[c - 1] for c in found],
            },
            schema={"item_id": pl.String, "title": pl.String},
        )

    def person(self, user: str, *, filter_seen: bool = True) -> Person:
        """What the data set knows of a user; an unknown one has liked and seen nothing."""
        seen = self.dataset.seen_items(user) if filter_seen else np.zeros(0, dtype=np.int64)
        # The model has its own codes for users: those it was trained with.
        return Person(self.model.users.code(user), self.dataset.likes_of(user), seen)

    def shortlist(self, person: Person, k: int, filters: Filters | None = None, order: Order = "fused") -> Shortlist:
        """What the model is to re-rank or, in the orders `cf` and `text`, the best `k` already in their order."""
        if k < 1:
            raise CCFError(f"k is {k}; ask for at least 1 item")
        filters = filters or Filters()
        left = self._eligible(person, filters)
        cf = self.model.network.cf.score_catalogue(person.user, person.history)[left]
        text = self.catalogue.text_scores(person.history)[left]
        n = len(left) if filters.allow is not None else max(k, self.retrieve)
        by = text if order == "text" else cf
        best = np.argsort(-by, kind="stable")[: n if order == "fused" else k]
        return Shortlist(person, left[best] + 1, by[best], _ranks(cf, best), _ranks(text, best))

    def ranking(self, shortlist: Shortlist, scores: Floats, k: int, order: Order = "fused") -> pl.DataFrame:
        """The best `k` of the shortlist by these scores, with the columns of `recommend_for_history`."""
        best = np.argsort(-scores, kind="stable")[:k]
        codes = shortlist.items[best]
        return pl.DataFrame(
            {
                "item_id": [self.catalogue.ids[c - 1] for c in codes],
                "title": [self.catalogue.titles[c - 1] for c in codes],
                "rank": np.arange(1, len(best) + 1),
                "score": scores[best],
                "probability": [None] * len(best) if order == "text" else probability(scores[best]),
                "cf_rank": shortlist.cf_rank[best],
                "text_rank": shortlist.text_rank[best],
                "collaborative_share": self.catalogue.collaborative_shares[codes - 1],
            },
            schema=SCHEMA,
        )

    def codes(self, items: Iterable[str], what: str) -> Codes:
        """Codes of item ids; an unknown one is a `CCFError` that says where it was found."""
        ids = list(items)
        codes = np.array([self.model.item_vocabulary.code(item) for item in ids], dtype=np.int64)
        if len(codes) and codes.min() == 0:
            unknown = ids[int(codes.argmin())]
            raise CCFError(f"{what}: no item '{unknown}' in the model's catalogue; look ids up with its title")
        return codes

    def _best(self, person: Person, k: int, candidates: list[str] | None, order: Order) -> pl.DataFrame:
        shortlist = self.shortlist(person, k, Filters(allow=candidates), order)
        scores = self.model.score_rows(shortlist.rows()) if order == "fused" else shortlist.scores
        return self.ranking(shortlist, scores, k, order)

    def _eligible(self, person: Person, filters: Filters) -> NDArray[np.int64]:
        """Positions (code - 1) of the items that may be recommended."""
        left = np.full(len(self.catalogue), filters.allow is None)
        if filters.allow is not None:
            left[self.codes(filters.allow, "candidates") - 1] = True
        left[person.seen - 1] = False
        left[self.codes(filters.deny, "exclude") - 1] = False
        if filters.category is not None:
            left &= self.catalogue.in_category(filters.category)
        return np.flatnonzero(left)


def _ranks(scores: Floats, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the rank, from 1, of each of the chosen positions among all scores."""
    return len(scores) - np.searchsorted(np.sort(scores), scores[chosen], side="right") + 1
