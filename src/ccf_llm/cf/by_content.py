"""Putting people in an order that has nothing to do with the order in which they come."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ccf_llm.data.rows import Codes

HEAD = 32
"""Bytes of each person that are in memory together."""


def by_content(people: int, content: Callable[[int], bytes]) -> Codes:
    """(people,) their places in the order of the bytes that `content` tells of each.

    What is summed over people then rounds alike, however they are numbered.
    """
    heads = np.fromiter((content(place)[:HEAD] for place in range(people)), dtype=f"S{HEAD}", count=people)
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    runs = np.flatnonzero(np.append(True, heads[1:] != heads[:-1]))
    for begin, end in pairwise([*runs.tolist(), people]):
        if end - begin > 1:
            order[begin:end] = sorted(order[begin:end].tolist(), key=content)
    return order
