"""From ratings on any scale to likes: nothing is taken for granted that the figures speak against."""

import numpy as np
import polars as pl

from ccf_llm.data.reading import Reading
from ccf_llm.errors import CCFError

USUAL_THRESHOLD = 4.0
USUAL_LARGEST = 5.0
FEW, MOST = 0.1, 0.9  # of likes; beyond them the usual threshold is not taken without being asked for
MOST_BARS = 11


def not_rated(ratings: pl.Series) -> pl.Series:
    """(N,) where 0 stands for "not rated": on a scale that otherwise begins at 1 and has at least two steps."""
    others = ratings.filter(ratings != 0)
    begins_at_one = len(others) > 0 and others.min() == 1 and others.n_unique() > 1
    return (ratings == 0) & begins_at_one


def choose_threshold(ratings: pl.Series) -> float:
    """The rating from which on an item counts as liked, where nobody named one.

    It is 4 on a scale up to 5, and 1 for ratings that are all 0 or 1. Raises `CCFError` with the histogram and a
    proposal where the ratings go above 5, or where 4 would make nearly all or nearly none of them likes.
    """
    values = [float(value) for value in ratings.unique().sort()]
    if ratings.is_in([0.0, 1.0]).all():
        return 1.0
    share = _share(ratings, USUAL_THRESHOLD)
    if len(values) == 1 or (values[-1] <= USUAL_LARGEST and FEW <= share <= MOST):
        return USUAL_THRESHOLD
    steps = values[1 :: len(values) // 100 + 1]
    proposal = min(steps, key=lambda step: abs(_share(ratings, step) - 0.5))
    bars = ", ".join(f"{value}: {count}" for value, count in histogram(ratings).items())
    raise CCFError(
        f"interactions: which ratings are likes? They go from {values[0]:g} to {values[-1]:g} ({bars}); name the "
        f"smallest that is one, such as --like-threshold {proposal:g} ({_share(ratings, proposal):.0%} likes; 4: "
        f"{share:.0%})"
    )


def histogram(ratings: pl.Series) -> dict[str, int]:
    """Rating -> how many rows have it; ranges of ratings where there are more than 11 of them."""
    values, counts = np.unique(ratings.to_numpy(), return_counts=True)
    if len(values) <= MOST_BARS:
        return {f"{value:g}": int(count) for value, count in zip(values, counts, strict=True)}
    counts, edges = np.histogram(ratings.to_numpy(), bins=10)
    return {
        f"{low:.3g} to {high:.3g}": int(count) for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    }


def note_one_class(labels: pl.Series, source: str, reading: Reading) -> None:
    """Say so where all rows are likes or none is: nothing can be learned about the other kind."""
    if labels.n_unique() != 1:
        return
    kind = "a like" if labels[0] == 1 else "a dislike"
    remedy = {
        "rating": "choose another --like-threshold",
        "label": "give rows of the other kind too",
        "": "give a `rating` or `label` column (--rating-column, --label-column)",
    }[source]
    reading.note(
        f"interactions: every row is {kind}, and the rating task needs both likes and dislikes to train: {remedy}"
    )


def _share(ratings: pl.Series, threshold: float) -> float:
    return float(np.mean(ratings.to_numpy() >= threshold))
