"""What one should know of a data set before a model is trained on it: who each figure rests on, and what is wrong."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from ccf_llm.data.buckets import WARM, span_of
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.describe import describe
from ccf_llm.data.likes import targets
from ccf_llm.data.manifest import PARTS, Part
from ccf_llm.data.split import split_dataset
from ccf_llm.data.text_faults import same_titles, scripts, text_faults
from ccf_llm.data.which_task import Fit, which_task
from ccf_llm.errors import CCFError

FEW_USERS = 100
"""Users below which a figure's interval is wide."""
OWN_ROWS, LISTS = "NDCG of own rows", "NDCG of lists"
SPANS = 24
"""Spans of time in the histogram."""
SIZES = (1, 2, 3, 6, 11, 21, 51, 101, 501)
"""Where each bucket of rows of a user or an item starts."""


def examine(dataset: Dataset) -> dict[str, Any]:
    """`describe`, and what takes longer to find, as plain values.

    Further keys: `task` (which fits), `measured` (of each part that figures are made of: shares of warm, cold and new
    rows and the users behind each figure), `duplicates`, `text`, `scripts`, `warnings` (lines for people) and
    `histograms`. A data set without a split is looked at as `which_task` would have it split; `measured` is empty where
    that cannot be done, and a warning says why.
    """
    fit = which_task(dataset)
    parted, problems = dataset, []
    if dataset.split is None:
        try:
            parted = split_dataset(dataset, by=fit.by)
        except CCFError as error:
            problems.append(str(error))
    measured: dict[str, Any] = {}
    if parted.split is not None:
        rule = parted.split.rule + ("" if dataset.split else " (proposed)")
        measured = {"split": rule} | {part: _measured(parted, part) for part in PARTS[1:]}
    found = describe(dataset) | {
        "task": {"fits": fit.task, "ranking": fit.ranking, "rating": fit.rating},
        "measured": measured,
        "duplicates": _duplicates(parted),
        "text": text_faults(dataset.items),
        "scripts": scripts(dataset.items["title"]),
    }
    found["warnings"] = [*problems, *_leaks(parted, found), *_weak(found, fit), *_odd(found)]
    return found | {"histograms": _histograms(parted)}


def _measured(dataset: Dataset, part: Part) -> dict[str, Any]:
    """Shares of the part's rows, and on how many users each figure will rest."""
    train, rows = dataset.rows("train"), dataset.rows(part)
    users = np.bincount(train.users, minlength=len(dataset.user_vocabulary) + 1)[rows.users]
    items = np.bincount(train.items, minlength=len(dataset.item_vocabulary) + 1)[rows.items]
    new, warm = items == 0, (users >= WARM) & (items >= WARM)
    own = pl.DataFrame({"user": rows.users, "label": rows.labels}).group_by("user").agg(pl.len(), pl.col("label").sum())
    liked = pl.col("label") > 0
    try:
        asked = len(targets(dataset, part))
    except CCFError:
        asked = 0
    return {
        "rows": len(rows),
        "share_warm": round(float(warm.mean()), 4),
        "share_cold": round(float((~warm & ~new).mean()), 4),
        "share_new_items": round(float(new.mean()), 4),
        "users_behind": {
            "AUC": len(own),
            "UAUC": len(own.filter(liked & (pl.col("label") < pl.col("len")))),
            OWN_ROWS: len(own.filter(liked & (pl.col("len") > 1))),
            LISTS: asked,
        },
    }


def _duplicates(dataset: Dataset) -> dict[str, Any]:
    """Rows and titles that are there more than once."""
    pairs = dataset.interactions.select("user_id", "item_id")
    found: dict[str, Any] = {
        "identical_rows_dropped": dataset.duplicates_dropped,
        "rows_of_a_pair_met_before": len(pairs) - pairs.n_unique(),
    }
    if dataset.split is not None:
        test, train = (dataset.interactions.filter(pl.col("split") == part) for part in ("test", "train"))
        found["test_rows_of_a_pair_in_train"] = len(test.join(train, on=["user_id", "item_id"], how="semi"))
    titles = same_titles(dataset.items)
    found["items_that_share_a_title"] = titles["items"]
    if titles["most"]:
        found["titles_of_most_items"] = [f"{title} ({count})" for title, count in titles["most"].items()]
    return found


def _leaks(dataset: Dataset, found: dict[str, Any]) -> Iterator[str]:
    """What of the future, or of the answers, training would know."""
    split = dataset.split
    if split is None:
        return
    frame = dataset.interactions
    test, train = (frame.filter(pl.col("split") == part) for part in ("test", "train"))
    if split.rule == "given by the source" and dataset.reading.timed:
        later = int((train["timestamp"] > test["timestamp"].min()).sum())
        if later:
            yield (
                f"leak: {later:,} of {len(train):,} train rows are later than the first test row. That is meant where "
                "each user's own time decides; under one moment for all, training would know the future"
            )
    again = found["duplicates"]["test_rows_of_a_pair_in_train"]
    if again:
        yield (
            f"leak: {again:,} of {len(test):,} test rows ask for an item that the user met in train. Lists leave "
            "them out; the rating task is told their answers"
        )
    if dataset.history_notes:
        yield from dataset.history_notes


def _weak(found: dict[str, Any], fit: Fit) -> Iterator[str]:
    """Figures that will say little, of the task that fits."""
    figure = "UAUC" if fit.task == "rating" else LISTS
    for part in PARTS[1:] if found["measured"] else ():
        behind = found["measured"][part]["users_behind"]
        if behind[figure] < FEW_USERS:
            yield f"few: {figure} on {part} rests on {behind[figure]:,} users, so its interval is wide"
        if fit.task == "rating" and not behind[OWN_ROWS]:
            yield f"few: nobody has two {part} rows, so NDCG and recall of a user's own rows mean nothing"


def _odd(found: dict[str, Any]) -> Iterator[str]:
    """Texts that a language model would stumble over."""
    remedies = {"entities": "import the data again", "mojibake": "import it with --encoding"}
    for column, faults in found["text"].items():
        for fault, remedy in remedies.items():
            if fault in faults:
                yield f"text: {faults[fault]:,} items have {fault} in '{column}'; {remedy}"
    latin = found["scripts"].get("Latin", 0) + found["scripts"].get("none", 0)
    if latin < 0.9:
        yield f"text: {1 - latin:.0%} of the titles are in other scripts than Latin; take a base model that reads them"


def _histograms(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """What the page draws: labels, and for each series the counts."""
    frame = dataset.interactions
    found = {
        f"rows_per_{kind}": _by_size(frame.group_by(f"{kind}_id").len()["len"].to_numpy()) for kind in ("user", "item")
    }
    if dataset.reading.timed and frame["timestamp"].n_unique() > 1:
        times = frame["timestamp"].to_numpy()
        edges = np.linspace(times.min(), times.max(), SPANS + 1)
        part = frame["split"].fill_null("left out") if dataset.split else pl.Series(["rows"] * len(frame))
        names = [name for name in (*PARTS, "left out", "rows") if (part == name).any()]
        series = {name: np.histogram(times[(part == name).to_numpy()], edges)[0].tolist() for name in names}
        labels = [f"{datetime.fromtimestamp(int(edge), tz=UTC):%Y-%m-%d}" for edge in edges[:-1]]
        found["rows_by_time"] = {"labels": labels, "series": series}
    return found


def _by_size(counts: np.ndarray[Any, Any]) -> dict[str, Any]:
    edges = [*SIZES, np.inf]
    return {
        "labels": [span_of(low, high) for low, high in pairwise(edges)],
        "series": {"": np.histogram(counts, edges)[0].tolist()},
    }
