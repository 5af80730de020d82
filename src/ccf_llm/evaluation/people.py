"""Groups of users by what the data set tells of them, and what each one's figures are beside everybody else's."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.personal import looks_personal
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.evaluation.bootstrap import bootstrap_mean, interval
from ccf_llm.evaluation.metrics import Doubles, Integers
from ccf_llm.text.spoken import spoken

LEAST, MOST = 20, 20
"""Users that a group has at least, and groups that a column has at most, the largest; the users of all others are
together `OTHER`, which has no figure either where they are fewer."""
OTHER, UNKNOWN = "other", "not known"


@dataclass(frozen=True)
class Groups:
    """The users of each of G groups by a column."""

    names: list[str]
    """Largest first, `OTHER` last."""
    codes: Integers
    """(U,) the group of each user by its place in `names`; G for one without a group."""

    @property
    def members(self) -> NDArray[np.bool_]:
        """(U, G) whose group is which."""
        members: NDArray[np.bool_] = self.codes[:, None] == np.arange(len(self.names))
        return members


def people_of(dataset: Dataset, vocabulary: Vocabulary) -> pl.DataFrame | None:
    """user_id, then the columns of the users as words (`text.spoken`), row c of code c; None where there are no words.

    Columns that look personal (`data.personal`) are left out, whatever a prompt may hold.
    """
    users = dataset.users
    if users is None:
        return None
    plain = [texts for texts in users.drop("user_id").iter_columns() if not looks_personal(texts)]
    if not plain:
        return None
    told = [pl.Series(texts.name, [spoken(texts.name, text) for text in texts], dtype=pl.String) for texts in plain]
    codes = pl.concat([pl.Series("user_id", [None], dtype=pl.String), vocabulary.ids.alias("user_id")]).to_frame()
    return codes.join(pl.DataFrame([users["user_id"], *told]), on="user_id", how="left", maintain_order="left")


def groups_of(people: pl.DataFrame, measured: NDArray[np.bool_]) -> dict[str, Groups]:
    """Column -> groups (`groups_by`) of U users by the words of each column, but where there are not two to compare."""
    found = {texts.name: groups_by(texts, measured) for texts in people.drop("user_id").iter_columns()}
    return {name: groups for name, groups in found.items() if groups is not None}


def groups_by(words: pl.Series, measured: NDArray[np.bool_]) -> Groups | None:
    """The groups of U users by their words; None where there are not two to compare, as where texts are free.

    `measured` (U,) says of whom there is a figure: the others have no group.
    """
    texts = np.array([text or UNKNOWN for text in words], dtype=object)
    sizes = sorted(Counter(texts[measured].tolist()).items(), key=lambda pair: (-pair[1], pair[0]))
    large = [name for name, size in sizes[:MOST] if size >= LEAST]
    rest = int(measured.sum()) - sum(size for name, size in sizes if name in large)
    names = [*large, OTHER] if rest >= LEAST else large
    places = {name: place for place, name in enumerate(large)}
    codes = np.array([places.get(text, len(large)) for text in texts], dtype=np.int64)
    return Groups(names, np.where(measured, codes, len(names))) if len(large) > 1 else None


def mean_figures(groups: Groups, name: str, values: Doubles, head: Doubles | None, draws: Integers) -> dict[str, Any]:
    """`group_figures` of a mean over users: (U,) a figure of each, and how much of its list are popular items."""
    drawn, members = with_all(draws), groups.members
    within, without = (bootstrap_mean(np.where(one, values[:, None], np.nan), drawn) for one in (members, ~members))
    none = np.full(len(groups.names), np.nan)
    popular = none if head is None else bootstrap_mean(np.where(members, head[:, None], np.nan), drawn[:1])[0]
    return group_figures(groups, name, within, without, popular)


def group_figures(groups: Groups, name: str, within: Doubles, without: Doubles, popular: Doubles) -> dict[str, Any]:
    """Group -> users, figure with interval, `rest`: its difference to all other users with interval, and `popular`.

    Args:
        groups: G groups.
        name: of the figure.
        within: (1 + D, G) of each group: as measured, then of each draw of users.
        without: the same of all others; on the same draws, so the difference is paired.
        popular: (G,) share of popular items in what the group is shown.
    """
    gap, sizes = within - without, groups.members.sum(0)
    return {
        group: {
            "users": int(sizes[g]),
            name: float(within[0, g]),
            f"{name}_ci": list(interval(within[1:, g])),
            "rest": float(gap[0, g]),
            "rest_ci": list(interval(gap[1:, g])),
            "popular": float(popular[g]),
        }
        for g, group in enumerate(groups.names)
    }


def with_all(draws: Integers) -> Integers:
    """(1 + D, U) draws of users, and before them the users as they are, each once."""
    return np.concatenate([np.ones((1, draws.shape[1]), dtype=np.int64), draws])
