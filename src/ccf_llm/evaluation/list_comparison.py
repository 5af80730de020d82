"""The table of a comparison of ranked lists: means over seeds, paired intervals over users."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.ranking import evaluate_lists

FIGURES = (
    "ndcg", "recall", "precision", "hit_rate", "mrr", "map", "coverage", "gini", "novelty", "long_tail", "diversity",
    "overlap", "most_shown", "new", "new_hits",
)  # fmt: skip


def compare_lists(
    results: Mapping[str, Sequence[dict[str, Any]]],
    lists: pl.DataFrame,
    known: Known,
    *,
    main: str,
    baseline: str,
    papers: Mapping[str, str | None],
    about: dict[str, Any],
    missing: Sequence[str] = (),
    among_new: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole table as plain values, best NDCG first.

    A user's figures are averaged over a row's seeds; intervals and paired differences are over users. `vs_all` of a row
    holds its difference in NDCG to every other one, `[difference, low, high]`.

    Args:
        results: row -> what was measured of each of its seeds, as `ccf-llm compare` writes it.
        lists: the lists of all rows and seeds.
        known: what the data set knows of them.
        main, baseline: the rows that every other is compared with; one that is not there gives no differences.
        papers: of which system each language-model row is a version; None marks ours.
        about: further entries at the top, such as the data set's name.
        missing: rows that were not run, in words.
        among_new: what `evaluate_lists` gives of the rows' lists of new items among themselves.
    """
    found = evaluate_lists(lists, known)
    k = found["lists"]["k"]
    lines = []
    for row, seeds in results.items():
        model = found["models"][row]
        others = {name: model["diff"].get(other) for name, other in (("vs_main", main), ("vs_retriever", baseline))}
        lines.append(
            {
                "method": row,
                "paper": papers.get(row),
                "ours": row in papers and papers[row] is None,
                "cf": seeds[0]["cf"],
                "llm": seeds[0]["llm"],
                "seeds": [result["seed"] for result in seeds],
                "ndcg_sd": _spread([result[f"ndcg@{k}"] for result in seeds]),
                "llm_ndcg": _mean([result.get("llm_alone", {}).get("ndcg@10") for result in seeds]),
                "llm_weight": _mean([result.get("blend", [None])[0] for result in seeds]),
                "train_minutes": statistics.mean(result["train_seconds"] for result in seeds) / 60,
                "score_seconds": statistics.mean(result["score_seconds"] for result in seeds),
                "trainable": seeds[0]["trainable"],
                "peak_mb": max(result["peak_mb"] for result in seeds),
                "users": model["users"],
                **{name: value for name, value in model.items() if name.split("@")[0] in FIGURES},
                "slices": model["slices"],
                **({"among_new": _among_new(row, among_new, baseline)} if among_new else {}),
                **{name: gap and _short(gap, k) for name, gap in others.items()},
                "vs_all": {other: _short(gap, k)["ndcg"] for other, gap in model["diff"].items()},
            }
        )
    lines.sort(key=lambda line: -(line[f"ndcg@{k}"] or 0))
    return {
        **about,
        "task": "ranking",
        "main": main,
        "baseline": baseline,
        "draws": found["lists"]["draws"],
        "lists": found["lists"],
        "rows": lines,
        "missing": list(missing),
    }


def _among_new(row: str, found: dict[str, Any], baseline: str) -> dict[str, Any] | None:
    """NDCG of new items among themselves, and its paired difference to the baseline."""
    k, model = found["lists"]["k"], found["models"].get(row)
    if model is None:
        return None
    gap = model["diff"].get(baseline)
    figures = {name: model[name] for name in ("users", f"ndcg@{k}", f"ndcg@{k}_ci")}
    return figures | {"k": k, "vs_retriever": gap and _short(gap, k)}


def _short(gap: dict[str, Any], k: int) -> dict[str, Any]:
    """Of a paired difference, what the table shows: `[difference, low, high]`."""
    return {name: [gap[f"{name}@{k}"], *gap[f"{name}@{k}_ci"]] for name in ("ndcg", "recall")} | {"users": gap["users"]}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) > 0 else None


def _spread(values: list[float]) -> float | None:
    """Standard deviation over seeds; None for one seed alone."""
    return statistics.stdev(values) if len(values) > 1 else None
