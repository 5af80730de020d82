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
LATEST = 0.1
"""Share of the likes, the newest, by which is told whether items keep coming."""
MANY_NEW, KNOWN_PEOPLE = 0.2, 0.5
"""They do where so much of these are of items that nobody had liked before, and so much of known people."""


@dataclass(frozen=True)
class Fit:
    """What fits a data set."""

    task: Literal["rating", "ranking"]
    by: By
    """The split that goes with it, where the data set brings none."""
    arriving: bool
    """Whether much of what known people come to like is new: what is learned from should hold new items then."""
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
    new, known = _latest(frame) if timed else (0.0, 0.0)
    arriving = new >= MANY_NEW and known >= KNOWN_PEOPLE
    ranking = f"{'fits' if ranks else 'hardly fits'}: {people:,} people like {FEW_LIKES} items or more"
    if not timed:
        ranking += "; without times what is hidden is drawn, and nothing is said of what comes next"
    if arriving:
        ranking += f"; {new:.0%} of the latest likes are of items that nobody had liked before"
    rating = f"{'fits' if rates else 'does not fit'}: {share:.0%} of the rows are likes"
    if not rates:
        rating += f"; it needs likes and dislikes, at least {FEW:.0%} of each"
    if ranks or not rates:
        return Fit("ranking", "user" if timed and not arriving else "global", arriving, ranking, rating)
    return Fit("rating", "global", arriving, ranking, rating)


def _latest(frame: pl.DataFrame) -> tuple[float, float]:
    """Shares of the latest likes that are of new items, and of known people."""
    likes = frame.filter(pl.col("label") == 1).sort("timestamp")
    before = likes.head(len(likes) - int(LATEST * len(likes)))
    latest = likes.tail(len(likes) - len(before))
    if not len(latest):
        return 0.0, 0.0
    item, user = (latest[name].is_in(before[name].unique().implode()).to_numpy() for name in ("item_id", "user_id"))
    return 1 - float(item.mean()), float(user.mean())
