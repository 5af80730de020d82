"""Answered examples for a prompt that teaches by example (in-context learning, Brown et al. 2020)."""

import numpy as np

from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError
from ccf_llm.settings import Settings

LIKES = 5
"""Titles of an example's history, the newest ones."""


class Shot(Settings):
    """One example, by item codes."""

    history: tuple[int, ...]
    """Items liked before, oldest first."""
    item: int
    """The item that was asked about."""
    liked: bool
    """The answer."""

    def recoded(self, items: Codes) -> "Shot":
        """The same in other codes (see `Vocabulary.translated`); a `CCFError` where they lack one of its items."""
        history, item = tuple(int(items[code]) for code in self.history), int(items[self.item])
        if not all((*history, item)):
            raise CCFError("items: one that the prompt shows as an example is gone; keep it, or train again")
        return Shot(history=history, item=item, liked=self.liked)


def draw_shots(train: Rows, measured: Rows, n: int, seed: int) -> tuple[Shot, ...]:
    """`n` training rows with a history, each of another user, liked and not liked in turn, drawn with the seed.

    Users of `measured` are left out, so that no one is shown an answer of their own.

    Raises:
        CCFError: there are not so many such users.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    usable = (train.end > train.start) & ~np.isin(train.users, measured.users) & (train.items > 0)
    used: set[int] = set()
    shots: list[Shot] = []
    for row in order[usable[order]]:
        liked, user = bool(train.labels[row] == 1), int(train.users[row])
        if len(shots) == n:
            break
        if liked == (len(shots) % 2 == 0) and user not in used:
            used.add(user)
            history = tuple(int(item) for item in train.history(int(row))[-LIKES:])
            shots.append(Shot(history=history, item=int(train.items[row]), liked=liked))
    if len(shots) < n:
        raise CCFError(
            f"template.shots: {n} examples were asked for, but only {len(shots)} users with a history and without "
            "a row in valid or test are at hand; lower it"
        )
    return tuple(shots)
