"""Moments of the past at which somebody could have been asked what comes next: what rerankers of lists learn from."""

import math

import numpy as np
from numpy.typing import NDArray

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import Targets, pairs_of
from ccf_llm.data.rows import Codes
from ccf_llm.errors import CCFError


def draw_cuts(dataset: Dataset, *, each: int, horizon: float = 0.25, earliest: float = 0.3, seed: int = 0) -> Targets:
    """Cuts through the users' likes of train, as `targets` gives them of a part: before it known, after it to be found.

    A user comes up to `each` times. What somebody liked next may stand beside the last like for no other reason than
    the page that both were rated on, and a list that is measured asks for more: so the likes of a whole stretch of time
    are to be found, as many as `horizon` times those before the cut.

    Args:
        dataset: with a split.
        each: cuts of one user at most, drawn without repetition.
        horizon: length of what is to be found, in likes before the cut; at least one. A quarter, where a split keeps
            four fifths and measures the rest.
        earliest: share of a user's likes that lie before every cut, and at least one.
        seed: of the draw.

    Raises:
        CCFError: nobody has two likes in train.
    """
    pairs = pairs_of(dataset, ("train",)).sort("user", "met")
    random = np.random.default_rng(seed)
    users, histories, seen, items = [], [], [], []
    for (user,), own in pairs.partition_by("user", as_dict=True, maintain_order=True).items():
        liked = own.filter("liked").sort("place")
        likes, places = liked["item"].to_numpy(), liked["place"].to_numpy()
        met, when = own["item"].to_numpy(), own["met"].to_numpy()
        for cut in _cuts(len(likes), each, earliest, random):
            known = np.sort(met[when < places[cut]])
            later = np.setdiff1d(likes[cut : cut + math.ceil(horizon * cut)], known)
            if len(later):
                users.append(user)
                histories.append(likes[:cut])
                seen.append(known)
                items.append(later)
    if not users:
        raise CCFError("train: nobody likes two items, one after the other; give more likes, or a lower like threshold")
    return Targets(np.array(users, dtype=np.int64), histories, seen, items)


def _cuts(likes: int, each: int, earliest: float, random: np.random.Generator) -> Codes:
    """Places between the likes, ascending."""
    first = max(1, math.ceil(earliest * likes))
    possible: NDArray[np.int64] = np.arange(first, likes)
    return np.sort(random.choice(possible, min(each, len(possible)), replace=False))
