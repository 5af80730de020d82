"""Diversity: items that are good and unlike each other (MMR; Carbonell and Goldstein 1998)."""

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.rows import Floats


def mmr(scores: Floats, vectors: Floats, k: int, diversity: float) -> NDArray[np.int64]:
    """Positions of the `k` items that maximal marginal relevance takes, in the order in which it takes them.

    One at a time, of the items that are left, the one of largest

        (1 - diversity) * relevance(i) - diversity * max over items j taken before of cosine(i, j)

    with relevance(i) = (score(i) - min) / (max - min) over all n items, so that both parts are of one size. A diversity
    of 0 is the order of the scores; 1 starts with the best item and then takes what is least like those before.

    Args:
        scores: (n,) any scores, such as log-odds.
        vectors: (n, d) unit vectors.
        k: how many; at most n are returned.
        diversity: from 0 to 1.
    """
    order = np.argsort(-scores, kind="stable")
    if diversity == 0 or len(order) == 0:
        return order[:k]
    relevance = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-9)
    closest = np.zeros(len(scores), dtype=np.float32)  # nothing is taken yet
    left = np.ones(len(scores), dtype=bool)
    taken: list[int] = []
    while len(taken) < min(k, len(order)):
        worth = np.where(left, (1 - diversity) * relevance - diversity * closest, -np.inf)
        chosen = int(order[np.argmax(worth[order])])  # of equals the better score
        likeness = vectors @ vectors[chosen]
        closest = np.maximum(closest, likeness) if taken else likeness
        left[chosen] = False
        taken.append(chosen)
    return np.array(taken, dtype=np.int64)
