"""Which of the two tasks a data set can be used for, and why."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import By
from ccf_llm.data.ratings import FEW, MOST

FEW_LIKES = 5
"""Likes of a person below which little is left to be learned from once some are hidden."""
FEW_PEOPLE = 50
"""People with so many likes below which no figure of lists says much."""


@dataclass(frozen=True)
class Fit:
    """What fits a data set."""

    task: Literal["rating", "ranking"]
    by: By
    """The split that goes with it, where the data set brings none."""
    ranking: str
    """Whether and why the ranking task fits."""
    rating: str
    """The same of the rating task."""


def which_task(dataset: Dataset) -> Fit:
    """Ranking (which items next?) where enough people like enough, else rating where both answers are there."""
    frame, timed = dataset.interactions, dataset.reading.timed
    likes = frame.filter(pl.col("label") == 1).group_by("user_id").agg(pl.col("item_id").n_unique())
    people = int((likes["item_id"] >= FEW_LIKES).sum())
    share = float((frame["label"] == 1).mean())  # type: ignore[arg-type]
    ranks, rates = people >= FEW_PEOPLE, FEW <= share <= MOST
    ranking = f"{'fits' if ranks else 'hardly fits'}: {people:,} people like {FEW_LIKES} items or more"
    if not timed:
        ranking += "; without times what is hidden is drawn, and nothing is said of what comes next"
    rating = f"{'fits' if rates else 'does not fit'}: {share:.0%} of the rows are likes"
    if not rates:
        rating += f"; it needs likes and dislikes, at least {FEW:.0%} of each"
    if ranks or not rates:
        return Fit("ranking", "user" if timed else "global", ranking, rating)
    return Fit("rating", "global", ranking, rating)
