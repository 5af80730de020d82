"""Items that nobody met in training keep the place that the retriever gives them; the others change places.

A language model that learns from lists comes to know the items of the lists, also by their words. What it says of one
that was in none is no knowledge, and yet moves it: on MovieLens-100K it put nearly all new items behind all known ones.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Floats, Rows


def keep_places(scores: Floats, retriever: Floats, unmet: NDArray[np.bool_], rows: Rows) -> Floats:
    """(N,) scores by which known items stand in the order of `scores`, in the places that known items have by the
    retriever, and each unmet one in its own.

    The score of an unmet item lies between those of its neighbours; where a list has no others it is the retriever's.

    Args:
        scores: (N,) of the model.
        retriever: (N,) of its retriever.
        unmet: (N,) whose item nobody met in training.
        rows: N; those of one user with one history are a list.
    """
    placed = scores.copy()
    lists = np.lexsort((-retriever, rows.end, rows.start, rows.users))  # each list by the retriever's order
    keys = np.stack([rows.users, rows.start, rows.end])[:, lists]
    begins = np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(0)))
    for begin, end in pairwise([*begins.tolist(), len(lists)]):
        one = lists[begin:end]
        if unmet[one].any():
            placed[one] = _placed(scores[one], retriever[one], unmet[one])
    return placed


def _placed(scores: Floats, retriever: Floats, unmet: NDArray[np.bool_]) -> Floats:
    """Of one list in the retriever's order."""
    if unmet.all():
        return retriever
    known = -np.sort(-scores[~unmet])
    bounds = np.concatenate([known[:1] + 1, known, known[-1:] - 1])
    above = np.cumsum(~unmet)[unmet]  # known items before each unmet one
    first = np.searchsorted(above, above)
    share = (np.arange(len(above)) - first + 1) / (np.bincount(above)[above] + 1)
    placed = scores.copy()
    placed[unmet] = bounds[above] + (bounds[above + 1] - bounds[above]) * share
    return placed
