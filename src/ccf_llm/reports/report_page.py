"""The report: one self-contained HTML page from one plain dict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_file
from ccf_llm.reports import plots
from ccf_llm.reports.page import figure, render, signed, span

OURS = "ccf_llm"
COLUMNS = {
    "auc": ("AUC", max),
    "uauc": ("UAUC", max),
    "log_loss": ("Log loss", min),
    "calibration_error": ("Calibration error", min),
    "ndcg@10": ("nDCG@10", max),
    "recall@10": ("Recall@10", max),
}


def write_report(report: dict[str, Any], path: Path) -> None:
    """Render `report` to `path`, atomically."""
    with atomic_file(Path(path)) as temporary:
        temporary.write_text(render_report(report), encoding="utf-8")


def render_report(report: dict[str, Any]) -> str:
    """The page as text: no script, no outside resource, every text escaped.

    `report` is what `Evaluation.to_json` gives, and may hold:

    - `training`: `[{"run", "stage", "steps": [...], "loss": [...], "valid": [{"step", "auc", "uauc"}]}]`
    - `gate`: `[{"popularity": label, "share": 0..1, "items": n}]`
    - `recommendations`: `[{"for", "history": [title], "items": [{"rank", "title", "score", "probability"}]}]`
    - `rivals`: `[method]`, those that the verdict compares CCF-LLM with
    - `about`: `{setting: value}`; `notes`: `[sentence]`

    A section without data is left out. Raises `CCFError` where there is no method to report.
    """
    if not report.get("models"):
        raise CCFError("report: no methods under 'models'; evaluate at least one method first")
    return render(
        "report.html.j2",
        models=dict(sorted(report["models"].items(), key=lambda pair: -(pair[1]["auc"] or 0))),
        rows=report["rows"],
        baseline=report["rows"].get("baseline"),
        columns=COLUMNS,
        best=_best(report["models"]),
        verdict=verdict(report["models"], report.get("rivals", ())),
        plots=_plots(report),
        training=report.get("training", []),
        gate=report.get("gate", []),
        recommendations=report.get("recommendations", []),
        about=report.get("about", {}),
        notes=report.get("notes", []),
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


def _plots(report: dict[str, Any]) -> dict[str, Markup]:
    """Name -> inline SVG of each plot that there is data for. matplotlib has escaped every text in it."""
    draws = {"overview": lambda: plots.overview(report), "history": lambda: plots.auc_by_history(report)}
    if report.get("training"):
        draws["training"] = lambda: plots.training_curves(report["training"])
    if report.get("gate"):
        draws["gate"] = lambda: plots.gate_shares(report["gate"])
    return {name: Markup(plots.to_svg(draw, name)) for name, draw in draws.items()}
