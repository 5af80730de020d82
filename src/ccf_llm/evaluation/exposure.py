"""What lists are like beyond being right: how much of the catalogue they show, how alike they are, how obvious.

`exposures` (n_items,) says in how many lists each item of the catalogue stands. Figures of single lists are (L,); `row`
(N,) is then the number of the list of each of N shown items, and `codes` (N,) the items by position in the catalogue.
"""

import numpy as np
from numpy.typing import NDArray

from ccf_llm.evaluation.metrics import Doubles, Integers

HEAD = 0.2
"""Share of the catalogue, the most liked first, that is not the long tail."""


def coverage(exposures: Integers) -> float:
    """Share of the catalogue that stands in any list (Herlocker et al. 2004)."""
    return float((exposures > 0).mean())


def gini(exposures: Integers) -> float:
    """Gini index of the exposures: 0 where all items are shown alike, near 1 where one has it all.

    Sum over i of (2 i - n - 1) x_i / (n * sum of x), with x ascending, i from 1 to n (Fleder and Hosanagar 2009).
    """
    n, total = len(exposures), exposures.sum()
    order = 2 * np.arange(1, n + 1) - n - 1
    return float(order @ np.sort(exposures) / (n * total)) if total else float("nan")


def most_shown(exposures: Integers, n_lists: int) -> float:
    """Share of the lists in which the most shown item stands."""
    return float(exposures.max(initial=0) / n_lists) if n_lists else float("nan")


def overlap(exposures: Integers, n_lists: int) -> float:
    """How many items two different users' lists share on average, over all pairs; NaN for fewer than two lists.

    An item in c of L lists is shared by c (c - 1) / 2 of the L (L - 1) / 2 pairs, so the exact mean is
    sum over items of c (c - 1) / (L (L - 1)).
    """
    pairs = n_lists * (n_lists - 1)
    return float((exposures * (exposures - 1)).sum() / pairs) if pairs else float("nan")


def novelty(row: Integers, codes: Integers, n_lists: int, likes: Integers) -> Doubles:
    """Mean over a list of -log2 p(item), bits (self-information; Zhou et al. 2010).

    p is the item's share of all training likes, with one like added to every item: (likes + 1) / (sum of likes + n), so
    that an item which nobody has liked yet is very new, but not infinitely.
    """
    bits = -np.log2((likes + 1) / (likes.sum() + len(likes)))
    return list_means(row, bits[codes], n_lists)


def long_tail(row: Integers, codes: Integers, n_lists: int, likes: Integers) -> Doubles:
    """Share of a list outside the `HEAD` of the catalogue (Abdollahpouri et al. 2017)."""
    return list_means(row, by_popularity(likes)[codes] >= HEAD, n_lists)


def diversity(row: Integers, codes: Integers, n_lists: int, vectors: NDArray[np.floating]) -> Doubles:
    """Mean over the pairs of a list of 1 - cosine of their vectors (Ziegler et al. 2005); NaN for fewer than two items.

    From the sum s of a list's m unit vectors: the mean cosine of its pairs is (|s|^2 - sum of squares) / (m (m - 1)).
    An item whose vector is zero is unlike every other.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros(vectors.shape), where=length > 0)[codes]
    total = np.zeros((n_lists, vectors.shape[1]))
    np.add.at(total, row, unit)
    own = np.bincount(row, weights=(unit**2).sum(1), minlength=n_lists)
    size = np.bincount(row, minlength=n_lists)
    cosine = np.full(n_lists, np.nan)
    np.divide((total**2).sum(1) - own, size * (size - 1), out=cosine, where=size > 1)
    return 1 - cosine


def new_hits(hits: Integers, new: NDArray[np.bool_]) -> float:
    """Share of the hits that are new, by the number of hits of each item (n_items,); NaN where nothing was found."""
    return float(hits[new].sum() / hits.sum()) if hits.sum() else float("nan")


def by_popularity(likes: Integers) -> Doubles:
    """(n_items,) place of each item, 0 for the most liked, below 1 for the least; of equals the earlier comes first."""
    place = np.empty(len(likes))
    place[np.argsort(-likes, kind="stable")] = np.arange(len(likes)) / len(likes)
    return place


def list_means(row: Integers, values: NDArray[np.generic], n_lists: int) -> Doubles:
    """(L,) mean of the values of each list; NaN for an empty one."""
    size = np.bincount(row, minlength=n_lists)
    means = np.full(n_lists, np.nan)
    np.divide(np.bincount(row, weights=values.astype(float), minlength=n_lists), size, out=means, where=size > 0)
    return means
