"""Every figure for every compared method on the same labelled rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.data.buckets import WARM
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.bootstrap import bootstrap_auc, bootstrap_group_auc, bootstrap_uauc, draw_users, interval
from ccf_llm.evaluation.doubtful import doubtful
from ccf_llm.evaluation.exposure import HEAD, by_popularity
from ccf_llm.evaluation.metrics import Doubles, auc, calibration_error, log_loss, ndcg_at_k, recall_at_k, uauc
from ccf_llm.evaluation.people import LEAST, Groups, group_figures, groups_of, with_all
from ccf_llm.evaluation.slices import Counts, slices

K = 10


@dataclass(frozen=True)
class Evaluation:
    """Figures of all methods; `to_json` gives them as plain values."""

    models: dict[str, dict[str, Any]]
    """Method -> figure -> value; `diff` holds the paired differences to every other method (positive: ahead of it)."""
    rows: dict[str, Any]
    """What was evaluated: rows, users, share liked, rows per slice, draws, seed, warm_threshold, baseline; and,
    where some figures say nothing, `doubtful`: figure -> why; where groups of users have figures, `least_people`."""

    def to_json(self) -> dict[str, Any]:
        """`{"models": ..., "rows": ...}` that JSON accepts: null stands where a figure is not defined."""
        return {"models": null_for_nan(self.models), "rows": null_for_nan(self.rows)}


def evaluate(
    rows: Rows,
    scores: dict[str, NDArray[np.floating[Any]]],
    *,
    user_counts: Counts,
    item_counts: Counts,
    people: pl.DataFrame | None = None,
    baseline: str | None = None,
    seed: int = 0,
    draws: int = 1000,
    warm_threshold: int = WARM,
) -> Evaluation:
    """Measure `scores` (method -> (N,) log-odds) on labelled `rows`, with 95 % intervals from a bootstrap over users.

    `user_counts` and `item_counts` are training interactions per code (they decide what is warm). `people`, words of
    users by code (`people_of`), opens figures of each group of them. `baseline` is the method that the report compares
    with. Raises `CCFError` for rows without a label, scores of another length or not finite, and a baseline that is not
    among the methods.
    """
    if len(rows) == 0 or not scores:
        raise CCFError("rows: nothing to evaluate; give at least one labelled row and one method")
    if baseline is not None and baseline not in scores:
        raise CCFError(f"baseline: {baseline!r} is not among the methods {', '.join(scores)}; choose one of them")
    for name, values in scores.items():
        if np.shape(values) != (len(rows),) or not np.isfinite(values).all():
            raise CCFError(f"scores of {name}: need {len(rows)} finite values, one per row; score the same rows again")
    masks = slices(rows, user_counts=user_counts, item_counts=item_counts, warm_threshold=warm_threshold)
    distinct, column = np.unique(rows.users, return_inverse=True)
    sampled = draw_users(len(distinct), draws, seed)
    groups = {} if people is None else groups_of(people[distinct], np.ones(len(distinct), dtype=bool))
    popular = by_popularity(np.asarray(item_counts, dtype=np.int64)[1:])[rows.items - 1] < HEAD if groups else None
    models: dict[str, dict[str, Any]] = {}
    samples: dict[str, dict[str, Doubles]] = {}
    for name, values in scores.items():
        samples[name] = _samples(column, rows, values, sampled)
        models[name] = _figures(rows, values, samples[name])
        models[name]["slices"] = {part: _slice(rows, values, column, sampled, mask) for part, mask in masks.items()}
        if popular is not None:
            models[name]["people"] = {
                by: _of_groups(column, rows, values, sampled, of, popular) for by, of in groups.items()
            }
    for name, figures in models.items():
        figures["diff"] = {
            other: _difference(figures, models[other], samples[name], samples[other])
            for other in models
            if other != name
        }
    about = {
        "rows": len(rows),
        "users": len(distinct),
        "liked": float(np.mean(rows.labels)),
        "slices": {part: int(mask.sum()) for part, mask in masks.items()},
        "draws": draws,
        "seed": seed,
        "warm_threshold": warm_threshold,
        "baseline": baseline,
    }
    if marked := doubtful(rows, K):
        about["doubtful"] = marked
    if groups:
        about["least_people"] = LEAST
    return Evaluation(models=models, rows=about)


def _samples(
    column: NDArray[np.int64], rows: Rows, values: NDArray[Any], draws: NDArray[np.int64]
) -> dict[str, Doubles]:
    """AUC and UAUC of every bootstrap draw."""
    return {
        "auc": bootstrap_auc(column, rows.labels, values, draws),
        "uauc": bootstrap_uauc(column, rows.labels, values, draws),
    }


def _figures(rows: Rows, values: NDArray[Any], samples: dict[str, Doubles]) -> dict[str, Any]:
    """The figures of one method on all rows."""
    mean_auc, users = uauc(rows.users, rows.labels, values)
    return {
        "auc": auc(rows.labels, values),
        "uauc": mean_auc,
        "auc_ci": list(interval(samples["auc"])),
        "uauc_ci": list(interval(samples["uauc"])),
        "uauc_users": users,
        "log_loss": log_loss(rows.labels, values),
        "calibration_error": calibration_error(rows.labels, values),
        f"ndcg@{K}": ndcg_at_k(rows.users, rows.labels, values, K),
        f"recall@{K}": recall_at_k(rows.users, rows.labels, values, K),
    }


def _slice(
    rows: Rows, values: NDArray[Any], column: NDArray[np.int64], draws: NDArray[np.int64], mask: NDArray[np.bool_]
) -> dict[str, Any]:
    """The figures of one method on a part of the rows; not defined (NaN) where the part has one class or no row."""
    if not mask.any():
        none = float("nan")
        return {"rows": 0, "auc": none, "auc_ci": [none, none], "uauc": none, "uauc_users": 0}
    part, scores = rows.take(mask), values[mask]
    mean_auc, users = uauc(part.users, part.labels, scores)
    return {
        "rows": len(part),
        "auc": auc(part.labels, scores),
        "auc_ci": list(interval(bootstrap_auc(column[mask], part.labels, scores, draws))),
        "uauc": mean_auc,
        "uauc_users": users,
    }


def _of_groups(
    column: NDArray[np.int64],
    rows: Rows,
    values: NDArray[Any],
    draws: NDArray[np.int64],
    groups: Groups,
    popular: NDArray[np.bool_],
) -> dict[str, Any]:
    """AUC of each group's rows, and which share of those that would be liked (above even odds) are of the head."""
    n_groups = len(groups.names)
    within, without = bootstrap_group_auc(column, rows.labels, values, with_all(draws), groups.codes)
    said_yes = [(groups.codes[column] == group) & (values > 0) for group in range(n_groups)]
    shares = np.array([popular[yes].mean() if yes.any() else np.nan for yes in said_yes])
    return group_figures(groups, "auc", within[:, :n_groups], without[:, :n_groups], shares)


def _difference(
    mine: dict[str, Any], other: dict[str, Any], my_samples: dict[str, Doubles], other_samples: dict[str, Doubles]
) -> dict[str, Any]:
    """Paired difference, mine minus other: both are measured on the same draws of users."""
    result: dict[str, Any] = {}
    for figure in ("auc", "uauc"):
        result[figure] = mine[figure] - other[figure]
        result[f"{figure}_ci"] = list(interval(my_samples[figure] - other_samples[figure]))
    return result


def null_for_nan(value: Any) -> Any:
    """`value` with every NaN or infinity in it replaced by None."""
    if isinstance(value, dict):
        return {key: null_for_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [null_for_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
