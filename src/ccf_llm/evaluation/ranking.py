"""Every figure of ranked lists over the whole catalogue, for every method, with intervals over users."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.evaluation import exposure
from ccf_llm.evaluation.bootstrap import bootstrap_mean, draw_users, interval
from ccf_llm.evaluation.doubtful import FEW
from ccf_llm.evaluation.hits import ACCURACY, Booleans, ndcg, places, recall
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.lists import check_lists
from ccf_llm.evaluation.metrics import Doubles, Integers
from ccf_llm.evaluation.people import LEAST, groups_of, mean_figures
from ccf_llm.evaluation.rating import null_for_nan
from ccf_llm.evaluation.slices import by_history, likes_slices

CUTOFFS = (5, 10, 20)
K = 10
TARGET_SLICES = {"target head": (0.0, exposure.HEAD), "target mid": (exposure.HEAD, 0.5), "target tail": (0.5, 1.0)}
"""Which part of the catalogue, the most liked first, each slice of targets is."""


def evaluate_lists(
    lists: pl.DataFrame, known: Known | None = None, *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """Measure lists (see `evaluation.lists`), with 95 % intervals from a bootstrap over users.

    A user's figures are averaged over seeds first. Accuracy is over users with a target. `known` opens further figures:
    coverage, Gini, novelty, long tail (popularity), diversity (vectors), share of new items in lists and among hits
    (`new`), slices by history and by target, and figures of groups of users (`people`: column -> group -> see
    `evaluation.people.group_figures`).

    Returns:
        `{"models": ..., "lists": ...}`, plain values that JSON accepts, null where a figure is not defined. A model has
        `ndcg@10`, `ndcg@10_ci` and so on, `slices`, and in `diff` the paired differences to every other model over the
        users that both have lists for (positive: ahead of it). `lists` says what was measured.

    Raises:
        CCFError: lists that contradict themselves or what is known.
    """
    known = known or Known()
    lists = check_lists(lists)
    known.check(lists)
    lists, cutoffs = _coded(lists, known), _cutoffs(lists)
    main = K if K in cutoffs else cutoffs[-1]
    users = lists["user_id"].unique().sort()
    sampled = draw_users(len(users), draws, seed)
    parts = {str(name): part for (name,), part in lists.partition_by("method", as_dict=True).items()}
    measured = {name: _measure(part, users, known, cutoffs) for name, part in parts.items()}
    models = {
        name: {
            "users": int((~np.isnan(of.values[:, 0])).sum()),
            "seeds": part["seed"].unique().sort().to_list(),
            **_with_intervals(of.values, sampled[:, of.columns], of.figures),
            **_shown(part, known, cutoffs),
            "slices": _slices(part, of.columns, known, main, sampled),
            **_people(of, users, known, main, sampled),
            "diff": {other: _difference(of, than, sampled) for other, than in measured.items() if other != name},
        }
        for (name, part), of in zip(parts.items(), measured.values(), strict=True)
    }
    about: dict[str, Any] = {
        "users": lists.filter(pl.col("targets") > 0)["user_id"].n_unique(),
        "users_without_target": lists.filter(pl.col("targets") == 0)["user_id"].n_unique(),
        "items": None if known.popularity is None else len(known.popularity),
        "cutoffs": cutoffs,
        "k": main,
        "draws": draws,
        "seed": seed,
    }
    if about["users"] < FEW:
        about["doubtful"] = {f"ndcg@{main}": f"only {about['users']} users have something to be found"}
    if known.new is not None:
        about["new_items"] = _of_new(lists, known)
    if any("people" in model for model in models.values()):
        about["least_people"] = LEAST
    result: dict[str, Any] = null_for_nan({"models": models, "lists": about})
    return result


@dataclass(frozen=True)
class _Measured:
    """The figures of a method, user by user, averaged over its seeds."""

    columns: Integers
    """(U,) places of its users among all."""
    figures: list[str]
    values: Doubles
    """(U, F), NaN where a user has no such figure."""


def _cutoffs(lists: pl.DataFrame) -> list[int]:
    """Those of `CUTOFFS` that the lists of every method reach, else where the shallowest method ends."""
    depths = lists.group_by("method").agg(pl.col("rank").max())["rank"]
    depth = max(1, int(depths.min()))  # type: ignore[arg-type]  # there is a method
    return [k for k in CUTOFFS if k <= depth] or [depth]


def _measure(part: pl.DataFrame, users: pl.Series, known: Known, cutoffs: list[int]) -> _Measured:
    """All figures that a single list has."""
    relevant = places(part, part["relevant"].to_numpy(), cutoffs[-1])
    first = part.filter(pl.col("rank") <= 1)
    targets, seeds = first["targets"].to_numpy(), first["seed"].n_unique()
    figures = {f"{name}@{k}": metric(relevant, targets, k) for name, metric in ACCURACY.items() for k in cutoffs}
    for k in cutoffs:
        figures |= _style(part, len(first), known, k)
    # Lists are sorted by seed, then user, and every seed has the same users.
    values = np.stack([figure.reshape(seeds, -1).mean(0) for figure in figures.values()], axis=1)
    columns = users.search_sorted(first["user_id"][: len(values)]).to_numpy().astype(np.int64)
    return _Measured(columns, list(figures), values)


def _style(part: pl.DataFrame, n_lists: int, known: Known, k: int) -> dict[str, Doubles]:
    """Novelty, share of the long tail and diversity of every list."""
    if known.popularity is None:
        return {}
    rank = part["rank"].to_numpy()
    shown = (rank >= 1) & (rank <= k)
    row, codes = (np.cumsum(rank <= 1) - 1)[shown], part["code"].filter(pl.Series(shown)).to_numpy()
    likes = known.popularity["likes"].to_numpy()
    figures = {
        f"novelty@{k}": exposure.novelty(row, codes, n_lists, likes),
        f"long_tail@{k}": exposure.long_tail(row, codes, n_lists, likes),
    }
    if known.new is not None:
        figures[f"new@{k}"] = exposure.list_means(row, known.is_new[codes], n_lists)
    if known.vectors is not None:
        figures[f"diversity@{k}"] = exposure.diversity(row, codes, n_lists, known.vectors)
    return figures


def _shown(part: pl.DataFrame, known: Known, cutoffs: list[int]) -> dict[str, float]:
    """Figures of all lists of a seed together, averaged over seeds."""
    found: dict[str, list[float]] = {}
    for one in part.partition_by("seed"):
        n_lists = one["user_id"].n_unique()
        for k in cutoffs:
            codes = one.filter(pl.col("rank").is_between(1, k))["code"]
            exposures = np.bincount(codes, minlength=0 if known.popularity is None else len(known.popularity))
            found.setdefault(f"overlap@{k}", []).append(exposure.overlap(exposures, n_lists))
            found.setdefault(f"most_shown@{k}", []).append(exposure.most_shown(exposures, n_lists))
            if known.popularity is not None:
                found.setdefault(f"coverage@{k}", []).append(exposure.coverage(exposures))
                found.setdefault(f"gini@{k}", []).append(exposure.gini(exposures))
            if known.new is not None:
                right = one.filter(pl.col("rank").is_between(1, k), "relevant")["code"]
                hits = np.bincount(right, minlength=len(known.is_new))
                found.setdefault(f"new_hits@{k}", []).append(exposure.new_hits(hits, known.is_new))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _slices(part: pl.DataFrame, columns: Integers, known: Known, k: int, draws: NDArray[np.int64]) -> dict[str, Any]:
    """NDCG and recall at `k` of users with histories of some length, and of targets of some popularity."""
    found = {}
    first = part.filter(pl.col("rank") <= 1)
    relevant, targets = places(part, part["relevant"].to_numpy(), k), first["targets"].to_numpy()
    if known.histories is not None:
        own = first.select("user_id").join(known.histories, on="user_id", how="left", maintain_order="left")
        for name, mask in by_history(own["likes"].fill_null(0).to_numpy()).items():
            found[name] = _slice(relevant, np.where(mask, targets, 0), k, draws[:, columns])
    if known.targets is not None and known.popularity is not None:
        place = known.popularity.select(
            "item_id", "likes", place=exposure.by_popularity(known.popularity["likes"].to_numpy())
        )
        shown, wanted = (rows.join(place, "item_id", "left", maintain_order="left") for rows in (part, known.targets))
        for name, inside in _target_slices(known).items():
            counts = wanted.filter(inside).group_by("user_id").agg(pl.len().cast(pl.Int64).alias("some"))
            some = first.select("user_id").join(counts, on="user_id", how="left", maintain_order="left")["some"]
            marked = places(part, shown.select(inside & pl.col("relevant")).to_series().to_numpy(), k)
            found[name] = _slice(marked, some.fill_null(0).to_numpy(), k, draws[:, columns])
    return found


def _people(of: _Measured, users: pl.Series, known: Known, k: int, draws: NDArray[np.int64]) -> dict[str, Any]:
    """NDCG at `k`, and the head's share of the first k, of groups of users, under `people`; empty without groups."""
    if known.people is None:
        return {}
    own = users.to_frame("user_id")[of.columns].join(known.people, on="user_id", how="left", maintain_order="left")
    ndcgs = of.values[:, of.figures.index(f"ndcg@{k}")]
    head = None if known.popularity is None else 1 - of.values[:, of.figures.index(f"long_tail@{k}")]
    found = {
        name: mean_figures(groups, f"ndcg@{k}", ndcgs, head, draws[:, of.columns])
        for name, groups in groups_of(own, ~np.isnan(ndcgs)).items()
    }
    return {"people": found} if found else {}


def _of_new(lists: pl.DataFrame, known: Known) -> dict[str, Any]:
    """How many items are new, and which share of the targets of the people in the lists they are."""
    assert known.new is not None
    assert known.targets is not None
    wanted = known.targets.filter(pl.col("user_id").is_in(lists["user_id"].unique().implode()))
    mine = wanted.filter(pl.col("item_id").is_in(known.new.implode()))
    return {"items": len(known.new), "share_of_targets": len(mine) / len(wanted) if len(wanted) else None}


def _target_slices(known: Known) -> dict[str, pl.Expr]:
    """Name -> which items belong to it, by `place`, how far down in popularity, `likes` and `item_id`."""
    bounds = {"place": TARGET_SLICES, "likes": likes_slices()}
    found = {
        name: pl.col(column).is_between(low, high, closed="left").fill_null(False)
        for column, slices in bounds.items()
        for name, (low, high) in slices.items()
    }
    if known.new is not None:
        new = pl.col("item_id").is_in(known.new.implode()).fill_null(False)
        found |= {"target new": new, "target known": ~new & pl.col("item_id").is_not_null()}
    return found


def _slice(relevant: Booleans, targets: Integers, k: int, draws: NDArray[np.int64]) -> dict[str, Any]:
    """The figures of users with a target in the slice, where other targets do not count."""
    figures = {f"ndcg@{k}": ndcg(relevant, targets, k), f"recall@{k}": recall(relevant, targets, k)}
    values = np.stack([figure.reshape(-1, draws.shape[1]).mean(0) for figure in figures.values()], axis=1)
    return {"users": int((~np.isnan(values[:, 0])).sum()), **_with_intervals(values, draws, list(figures))}


def _difference(mine: _Measured, other: _Measured, draws: NDArray[np.int64]) -> dict[str, Any]:
    """Paired difference, mine minus other, over the users of both."""
    columns, here, there = np.intersect1d(mine.columns, other.columns, return_indices=True)
    gaps = mine.values[here] - other.values[there]
    return {"users": int((~np.isnan(gaps[:, 0])).sum()), **_with_intervals(gaps, draws[:, columns], mine.figures)}


def _with_intervals(values: Doubles, draws: NDArray[np.int64], figures: list[str]) -> dict[str, Any]:
    """Mean over users of each of the (U, F) figures and, as `figure_ci`, its interval under (D, U) draws."""
    samples = bootstrap_mean(values, draws)
    means = bootstrap_mean(values, np.ones((1, len(values)), dtype=np.int64))[0]
    found: dict[str, Any] = {}
    for name, mean, sample in zip(figures, means, samples.T, strict=True):
        found |= {name: float(mean), f"{name}_ci": list(interval(sample))}
    return found


def _coded(lists: pl.DataFrame, known: Known) -> pl.DataFrame:
    """With `code`, the item's position in the catalogue; the items of the lists stand for one that is not known."""
    items = lists.select("item_id").drop_nulls().unique() if known.popularity is None else known.popularity
    numbered = items.select("item_id", code=pl.int_range(pl.len()))
    return lists.join(numbered, on="item_id", how="left", maintain_order="left")
