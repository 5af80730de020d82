"""The report: one self-contained HTML page from one plain dict. What every task's has in common."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from ccf_llm.reports import plots
from ccf_llm.reports.page import render


def render_parts(
    template: str, report: dict[str, Any], draws: dict[str, Callable[[], Figure]], *, curve: str, **values: Any
) -> str:
    """A task's page around what it has in common with the others', for which `report` may hold:

    - `training`: `[{"run", "stage", "steps": [...], "loss": [...], "valid": [{"step", "auc" or "ndcg@10"}]}]`
    - `gate`: `[{"popularity": label, "share": 0..1, "items": n}]`
    - `recommendations`: `[{"for", "history": [title], "items": [{"rank", "title", "score", "probability"}]}]`
    - `about`: `{setting: value}`; `notes`: `[sentence]`

    Args:
        template: extends `report.html.j2`.
        report: as above; a section without data is left out.
        draws: plots of the task's own, by name.
        curve: the figure by which states are chosen in training, such as AUC.
        values: what the template reads beside them.
    """
    if report.get("training"):
        draws = draws | {"training": lambda: plots.training_curves(report["training"])}
    if report.get("gate"):
        draws = draws | {"gate": lambda: plots.gate_shares(report["gate"])}
    return render(
        template,
        # matplotlib has escaped every text in them
        plots={name: Markup(plots.to_svg(draw, name)) for name, draw in draws.items()},
        curve=curve,
        training=report.get("training", []),
        gate=report.get("gate", []),
        recommendations=[_person(kept) for kept in report.get("recommendations", [])],
        about=report.get("about", {}),
        notes=report.get("notes", []),
        **values,
    )


def _person(kept: dict[str, Any]) -> dict[str, Any]:
    """With `judged`: whether there is a probability of liking beside any item."""
    return kept | {"judged": any(item.get("probability") is not None for item in kept["items"])}
