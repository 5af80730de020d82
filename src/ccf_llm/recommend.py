"""Retrieve with the CF model, re-rank with the language model, filter what was seen."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from ccf_llm.api import CCFLLM, probability
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.data.titles import reading_order
from ccf_llm.errors import CCFError

SCHEMA: dict[str, type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "rank": pl.Int64,
    "score": pl.Float32,
    "probability": pl.Float64,
}


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

    def recommend(
        self, users: Iterable[str], k: int = 10, *, filter_seen: bool = True, candidates: list[str] | None = None
    ) -> pl.DataFrame:
        """The best `k` items for each user.

        Args:
            users: ids of the data set's users.
            k: how many.
            filter_seen: leave out what the user has interacted with.
            candidates: item ids to choose from, instead of the CF model's best.

        Returns:
            user_id, item_id, title, rank (from 1), score (log-odds), probability.

        Raises:
            CCFError: an unknown user or candidate, or k below 1.
        """
        frames = []
        for user in users:
            code = int(self.dataset.user_vocabulary.encode([user])[0])
            if code == 0:
                raise CCFError(
                    f"user '{user}': not in data set {self.dataset.name}; recommend from liked items instead"
                )
            seen = self.dataset.seen_items(user) if filter_seen else np.zeros(0, dtype=np.int64)
            # The model has its own codes for users: those it was trained with.
            known = int(self.model.users.encode([user])[0])
            frame = self._best(known, self.dataset.likes_of(user), seen, k, candidates)
            frames.append(frame.insert_column(0, pl.Series("user_id", [user] * len(frame), dtype=pl.String)))
        return pl.concat(frames) if frames else pl.DataFrame(schema={"user_id": pl.String, **SCHEMA})

    def recommend_for_history(
        self, items: list[str], k: int = 10, *, candidates: list[str] | None = None
    ) -> pl.DataFrame:
        """The best `k` items for a person who is not a user but likes these items (ids, oldest first).

        Returns:
            item_id, title, rank, score, probability.
        """
        history = self._codes(items, "history")
        return self._best(0, history, history, k, candidates)

    def find_items(self, title: str) -> pl.DataFrame:
        """Items whose title holds the words given, whatever their case; exact titles first."""
        wanted = title.strip().lower()
        titles = self.model.items.select("item_id", pl.col("title").map_elements(reading_order, return_dtype=pl.String))
        lower = pl.col("title").str.to_lowercase()
        found = titles.filter(lower.str.contains(wanted, literal=True))
        return found.sort(lower != wanted, pl.col("title").str.len_chars())

    def _best(self, user: int, history: Codes, seen: Codes, k: int, candidates: list[str] | None) -> pl.DataFrame:
        if k < 1:
            raise CCFError(f"k is {k}; ask for at least 1 item")
        if candidates is None:
            chosen = self._retrieve(user, history, seen, k)
        else:
            chosen = self._codes(list(dict.fromkeys(candidates)), "candidates")
        chosen = chosen[~np.isin(chosen, seen)]
        scores = self.model.score_rows(Rows.for_candidates(history, chosen, user=user))
        order = np.argsort(-scores, kind="stable")[:k]
        titles = self.model.items["title"].gather(chosen[order] - 1)
        return pl.DataFrame(
            {
                "item_id": self.model.item_vocabulary.decode(chosen[order]),
                "title": [reading_order(title) for title in titles],
                "rank": np.arange(1, len(order) + 1),
                "score": scores[order],
                "probability": probability(scores[order]),
            },
            schema=SCHEMA,
        )

    def _retrieve(self, user: int, history: Codes, seen: Codes, k: int) -> Codes:
        """Codes of the items that the CF model scores highest, seen ones left out."""
        catalogue = np.arange(1, len(self.model.items) + 1)
        catalogue = catalogue[~np.isin(catalogue, seen)]
        scores = self.model.network.cf.score(Rows.for_candidates(history, catalogue, user=user))
        return catalogue[np.argsort(-scores, kind="stable")[: max(k, self.retrieve)]]

    def _codes(self, items: list[str], what: str) -> Codes:
        codes = self.model.item_vocabulary.encode(items)
        for item, code in zip(items, codes, strict=True):
            if code == 0:
                raise CCFError(f"{what}: no item '{item}' in the model's catalogue; look ids up with its title")
        return codes
