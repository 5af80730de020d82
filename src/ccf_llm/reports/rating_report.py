"""The report of a run of the rating task."""

from collections.abc import Sequence
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.evaluation.doubtful import MARK, footnotes
from ccf_llm.reports import plots
from ccf_llm.reports.page import figure, signed, span
from ccf_llm.reports.people import people_lines
from ccf_llm.reports.report_page import render_parts

OURS = "ccf_llm"
COLUMNS = {
    "auc": ("AUC", max),
    "uauc": ("UAUC", max),
    "log_loss": ("Log loss", min),
    "calibration_error": ("Calibration error", min),
    "ndcg@10": ("nDCG@10", max),
    "recall@10": ("Recall@10", max),
}


def render_rating_report(report: dict[str, Any]) -> str:
    """The page as text: no script, no outside resource, every text escaped.

    `report` is what `Evaluation.to_json` gives, and may hold `rivals`: `[method]`, those that the verdict compares
    CCF-LLM with, and what every report may (see `render_parts`).

    A section without data is left out. Raises `CCFError` where there is no method to report.
    """
    if not report.get("models"):
        raise CCFError("report: no methods under 'models'; evaluate at least one method first")
    marked = report["rows"].get("doubtful", {})
    compared = [name for name in (OURS, *report.get("rivals", ())) if name in report["models"]]
    return render_parts(
        "rating_report.html.j2",
        report,
        {"overview": lambda: plots.overview(report), "history": lambda: plots.auc_by_history(report)},
        curve="AUC",
        models=dict(sorted(report["models"].items(), key=lambda pair: -(pair[1]["auc"] or 0))),
        rows=report["rows"],
        baseline=report["rows"].get("baseline"),
        columns={key: (f"{title} {MARK}" if key in marked else title, how) for key, (title, how) in COLUMNS.items()},
        doubtful=footnotes(marked),
        best=_best(report["models"]),
        verdict=verdict(report["models"], report.get("rivals", ())),
        people=people_lines(report["models"], compared, "auc"),
        compared=compared,
        measure="AUC",
        popular_in="what the method says would be liked",
        least=report["rows"].get("least_people"),
    )


def verdict(models: dict[str, Any], rivals: Sequence[str]) -> str:
    """Is CCF-LLM ahead of its rivals, such as its own CF model? One sentence, from the figures."""
    if OURS not in models:
        return f"{OURS} is not among the methods compared here, so there is no verdict on it."
    found = [_compare(rival, models[OURS]["diff"][rival]) for rival in rivals if rival in models]
    if not found:
        return f"{OURS} has AUC {figure(models[OURS]['auc'])}; no rival was compared with it."
    return f"{OURS} (AUC {figure(models[OURS]['auc'])}) is {', and '.join(found)}."


def _compare(rival: str, difference: dict[str, Any]) -> str:
    """`ahead of mf: +0.012 AUC (paired 95 % interval +0.002 to +0.022)`."""
    low, high = difference["auc_ci"]
    if low is None or high is None:
        return f"not comparable with {rival} on these rows"
    word = "ahead of" if low > 0 else "behind" if high < 0 else "not clearly different from"
    return f"{word} {rival}: {signed(difference['auc'])} AUC (paired 95 % interval {span([low, high], with_sign=True)})"


def _best(models: dict[str, Any]) -> dict[str, str]:
    """Column -> best value of any method, as it is printed, so that equal figures are all marked."""
    best = {}
    for key, (_, choose) in COLUMNS.items():
        values = [model[key] for model in models.values() if model[key] is not None]
        best[key] = figure(choose(values)) if values else ""
    return best
