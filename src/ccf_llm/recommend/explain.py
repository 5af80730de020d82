"""Why an item is recommended: its score with and without each liked item."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ccf_llm.data.ids import Ids, as_ids
from ccf_llm.data.rows import Codes, Floats, Rows
from ccf_llm.recommend.arguments import check_count
from ccf_llm.recommend.recommender import Person, Recommender


@dataclass(frozen=True)
class LeaveOneOut:
    """The rows behind the reasons: each item scored with all likes, and with one of the newest left out.

    effect(like, item) = score(item | all likes) - score(item | all likes but this one), in log-odds: above zero, the
    like speaks for the item. Leave-one-out effects do not add up to the score; they say which like matters most.
    """

    person: Person
    items: Codes
    """(n,) codes of the items to explain."""
    likes: Codes
    """(m,) the likes that are left out in turn, newest last."""

    @classmethod
    def of(cls, person: Person, items: Codes, newest: int = 10) -> "LeaveOneOut":
        """Reasons for these items, looked for among the `newest` likes."""
        return cls(person, items, person.history[-newest:] if newest else person.history[:0])

    def rows(self) -> Rows:
        """((m + 1) n,) rows: all items with the whole history, then without the first of `likes`, and so on."""
        history = self.person.history
        first = len(history) - len(self.likes)
        variants = [history] + [np.delete(history, first + i) for i in range(len(self.likes))]
        return Rows.concat([self.person.rows(self.items, variant) for variant in variants])

    def effects(self, scores: Floats) -> Floats:
        """(n, m) effect of each like on each item, from the scores of `rows`."""
        table = scores.reshape(len(self.likes) + 1, len(self.items))
        effects: Floats = (table[0] - table[1:]).T
        return effects

    @staticmethod
    def strongest(effects: Floats) -> list[int]:
        """Positions in `likes` of those that raise the score of one item, by its effects (m,), the strongest first."""
        return [int(i) for i in np.argsort(-effects, kind="stable") if effects[i] > 0]


def explain(recommender: Recommender, person: Person, item_ids: Ids, newest: int = 10) -> pl.DataFrame:
    """Because of which liked items each item is recommended, from `newest` + 1 scores of it.

    Args:
        recommender: its model scores.
        person: `recommender.person(user)` or `recommender.stranger(liked items)`.
        item_ids: what to explain; texts or whole numbers.
        newest: how many of the newest likes are left out in turn.

    Returns:
        item_id, liked_item_id, liked_title, effect (log-odds, above 0); for each item the strongest first. An item
        whose score none of these likes raises has no row.

    Raises:
        CCFError: an item is not in the catalogue, or `newest` is no number of likes.
    """
    item_ids = as_ids(item_ids, "items")
    reasons = LeaveOneOut.of(person, recommender.codes(item_ids, "items"), check_count(newest, "newest", least=0))
    effects = reasons.effects(recommender.model.score_rows(reasons.rows()))
    ids, titles = recommender.catalogue.ids, recommender.catalogue.titles
    found = [
        (item, ids[like - 1], titles[like - 1], float(mine[i]))
        for item, mine in zip(item_ids, effects, strict=True)
        for i in reasons.strongest(mine)
        for like in [int(reasons.likes[i])]
    ]
    schema = {"item_id": pl.String, "liked_item_id": pl.String, "liked_title": pl.String, "effect": pl.Float32}
    return pl.DataFrame(found, schema=schema, orient="row")
