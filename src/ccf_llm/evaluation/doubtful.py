"""Figures that cannot mean anything on the rows that they are of, and why."""

import numpy as np

from ccf_llm.data.rows import Rows

FEW = 10
"""Users below whom a mean over users says nothing."""
SHARE = 0.1
"""Share of a mean's users who can change it at all; below it says next to nothing."""
MARK = "*"
"""Stands beside such a figure, and before the reason below the table."""


def doubtful(rows: Rows, k: int) -> dict[str, str]:
    """Figure -> why it says nothing: too few users whose rows can be in a better or a worse order decide it.

    With one row a user, nDCG and recall of a user's own rows are 1 for everybody with a like, whatever the scores.
    """
    _, user = np.unique(rows.users, return_inverse=True)
    size, likes = np.bincount(user), np.bincount(user, weights=rows.labels == 1)
    liked = int((likes > 0).sum())
    both, deep = int(((likes > 0) & (likes < size)).sum()), int(((likes > 0) & (size > k)).sum())
    least, found = max(FEW, SHARE * liked), {}
    if both < FEW:
        found["uauc"] = f"only {both} users have likes and dislikes"
    if both < least:
        found[f"ndcg@{k}"] = f"any order is right for {liked - both:,} of {liked:,} users, who have likes alone"
    if deep < least:
        found[f"recall@{k}"] = f"it is 1 for {liked - deep:,} of {liked:,} users, who have at most {k} rows"
    return found


def footnotes(found: dict[str, str]) -> list[str]:
    """The reasons as lines below a table."""
    return [f"{MARK} {figure.upper()} says nothing here: {reason}." for figure, reason in found.items()]
