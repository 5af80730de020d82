"""The report of a run of the ranking task."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from ccf_llm.errors import CCFError
from ccf_llm.evaluation.slices import likes_slices
from ccf_llm.reports import plots
from ccf_llm.reports.page import DASH, figure, signed, span
from ccf_llm.reports.people import people_lines
from ccf_llm.reports.report_page import render_parts

SHOWN = {
    "catalogue": "coverage",
    "shared by two": "overlap",
    "most shown": "most_shown",
    "new": "new",
    "new of what was found": "new_hits",
}
"""What lists are like beyond being right: head of the column, and figure."""


def render_ranking_report(report: dict[str, Any]) -> str:
    """The page as text: no script, no outside resource, every text escaped.

    `report` is what `evaluate_ranking` gives, and holds:

    - `main`, `retriever`: the method that recommends, and the row that it is compared with
    - `depth`: how many of the retriever's best a language model puts in order
    - what every report may (see `render_parts`)

    Raises `CCFError` where there is no method to report.
    """
    found = report.get("sample") or report
    if not found.get("models"):
        raise CCFError("report: no methods under 'models'; evaluate at least one method first")
    lists, retriever, main = found["lists"], report["retriever"], report["main"]
    lines = _lines(found, report)
    compared = [name for name in (main, retriever) if name in found["models"]]
    return render_parts(
        "ranking_report.html.j2",
        report,
        _draws(overview_table(report)),
        curve="NDCG@10",  # whatever the length of the lists
        verdict=verdict(lines, main, retriever),
        lines=lines,
        lists=lists,
        k=lists["k"],
        main=main,
        retriever=retriever,
        depth=report["depth"],
        shown=[head for head in SHOWN if any(line["shown"][head] != DASH for line in lines)],
        slices=_people(found),
        everybody=_everybody(report) if report.get("sample") else None,
        new=_new(report, lists),
        people=people_lines(found["models"], compared, f"ndcg@{lists['k']}"),
        compared=compared,
        measure=f"NDCG@{lists['k']}",
        popular_in=f"its lists (their first {lists['k']})",
        least=lists.get("least_people"),
    )


def overview_table(report: dict[str, Any]) -> dict[str, Any]:
    """What `plots.ndcg_by_row` and `plots.ndcg_by_likes` draw, all rows of the same people."""
    found = report.get("sample") or report
    k = found["lists"]["k"]
    rows = [
        {
            "method": line["name"],
            "ours": line["name"] == report["main"],
            f"ndcg@{k}": line["ndcg"],
            f"ndcg@{k}_ci": line["ndcg_ci"],
            "vs_retriever": None if line["gap"] is None else {"ndcg": [line["gap"], *line["gap_ci"]]},
            "slices": found["models"][line["name"]]["slices"],
        }
        for line in _lines(found, report)
    ]
    return {"lists": found["lists"], "baseline": report["retriever"], "rows": rows}


def _draws(table: dict[str, Any]) -> dict[str, Callable[[], Figure]]:
    """Plots of the table, by name; by likes only where the data set told them."""
    told = any(name in line["slices"] for line in table["rows"] for name in likes_slices())
    draws: dict[str, Callable[[], Figure]] = {"overview": lambda: plots.ndcg_by_row(table)}
    return draws | ({"likes": lambda: plots.ndcg_by_likes(table)} if told else {})


def verdict(lines: list[dict[str, Any]], main: str, retriever: str) -> str:
    """Does the language model find more than its retriever? From the figures, plainly."""
    mine = next((line for line in lines if line["name"] == main), None)
    if mine is None:
        return f"{main} is not among the methods measured here, so there is no verdict on it."
    says = f"{main} has NDCG {figure(mine['ndcg'])}"
    if mine["gap"] is None:
        return f"{says}; no retriever was compared with it."
    if mine["a"] == 0:
        return f"{says}: the order of {retriever}, as validation gives the language model no weight."
    low, high = mine["gap_ci"]
    if low is None or high is None:
        return f"{says} and is not comparable with {retriever} on these people."
    word = "more than" if low > 0 else "less than" if high < 0 else "neither clearly more nor clearly less than"
    ends = span([low, high], with_sign=True)
    return f"{says} and finds {word} {retriever}: {signed(mine['gap'])} (paired 95 % interval {ends})."


def in_words(weights: list[float] | None, share: float | None, retriever: str) -> str:
    """What the language model decides in a row: nothing, all, or how much of the difference between two items."""
    if weights is None:
        return DASH
    a, b = weights
    if a == 0:
        return f"nothing here: the order is that of {retriever}"
    if b == 0:
        return "all of the order"
    part = "a part" if share is None else f"{share:.0%}"
    return f"{part} of what sets two items apart (a = {a:.2g}, b = {b:.2g})"


def _lines(found: dict[str, Any], report: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each method, best NDCG first."""
    k, weights, shares = found["lists"]["k"], report.get("weights", {}), report.get("shares", {})
    lines = []
    for name, model in found["models"].items():
        gap = model["diff"].get(report["retriever"], {})
        lines.append(
            {
                "name": name,
                "ndcg": model[f"ndcg@{k}"],
                "ndcg_ci": model[f"ndcg@{k}_ci"],
                "gap": gap.get(f"ndcg@{k}"),
                "gap_ci": gap.get(f"ndcg@{k}_ci"),
                "recall": model[f"recall@{k}"],
                "recall_ci": model[f"recall@{k}_ci"],
                "shown": {head: _shown(model.get(f"{key}@{k}"), key, k) for head, key in SHOWN.items()},
                "a": weights.get(name, [None])[0],
                "weight": in_words(weights.get(name), shares.get(name), report["retriever"]),
                "slices": {
                    part: {"ndcg": of[f"ndcg@{k}"], "ndcg_ci": of[f"ndcg@{k}_ci"]}
                    for part, of in model["slices"].items()
                },
            }
        )
    return sorted(lines, key=lambda line: -(line["ndcg"] or 0))


def _shown(value: float | None, key: str, k: int) -> str:
    if value is None:
        return DASH
    return f"{value:.1f} of {k}" if key == "overlap" else f"{value:.0%}"


def _people(found: dict[str, Any]) -> dict[str, int]:
    """Part of the people or targets -> how many people have a target in it, where any has."""
    counts: dict[str, int] = {}
    for model in found["models"].values():
        for part, of in model["slices"].items():
            counts[part] = max(counts.get(part, 0), of["users"])
    return {part: people for part, people in counts.items() if people}


def _new(report: dict[str, Any], lists: dict[str, Any]) -> dict[str, Any] | None:
    """What is told of new items, where the split holds out some: of all, and of these among themselves."""
    if "new_items" not in lists:
        return None
    alone = report.get("new_items")
    lines = [] if alone is None else _lines(alone, report)
    return {**lists["new_items"], "lines": lines, "users": alone["lists"]["users"] if alone else 0}


def _everybody(report: dict[str, Any]) -> dict[str, Any]:
    """The rows that were measured of all people."""
    users = report["lists"]["users"]
    lines = [line for line in _lines(report, report) if report["models"][line["name"]]["users"] == users]
    return {"users": users, "lines": lines}
