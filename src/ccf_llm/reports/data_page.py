"""What a data set holds, as a page."""

from functools import partial
from typing import Any

from markupsafe import Markup

from ccf_llm.reports import plots
from ccf_llm.reports.page import DASH, render

COUNTS = (
    *("interactions", "users", "items", "items_met", "sparsity", "likes", "share_of_likes", "like_threshold"),
    *("median_interactions_per_user", "first", "last", "rows_read"),
)
"""What of the summary stands at the top."""
PLOTS = {
    "rows_per_user": ("Rows of a user", "users"),
    "rows_per_item": ("Rows of an item", "items"),
    "rows_by_time": ("Rows by time", "rows"),
    "ratings": ("Ratings", "rows"),
}


def render_data(found: dict[str, Any]) -> str:
    """The page of what `data.examine.examine` found: no script, no outside resource, every text escaped."""
    histograms = dict(found["histograms"])
    if "ratings" in found:
        histograms["ratings"] = {"labels": list(found["ratings"]), "series": {"": list(found["ratings"].values())}}
    drawn = [
        (*PLOTS[name], _told(of), Markup(plots.to_svg(partial(plots.stacked_bars, **of, of=PLOTS[name][1]), name)))
        for name, of in histograms.items()
    ]
    return render(
        "data.html.j2",
        name=found["name"],
        task=found["task"],
        counts={_words(key): _text(found[key]) for key in COUNTS},
        left_out=found["left_out"],
        parts=[(part, found["measured"][part]) for part in ("valid", "test") if part in found["measured"]],
        rule=found["measured"].get("split"),
        duplicates={_words(key): _text(value) for key, value in found["duplicates"].items()},
        text={name: {_words(key): _text(n) for key, n in faults.items()} for name, faults in found["text"].items()},
        scripts={name: f"{share:.1%}" for name, share in found["scripts"].items()},
        lines=[*found["warnings"], *found["notes"]],
        plots=drawn,
    )


def _told(of: dict[str, Any]) -> str:
    """The bars of a plot in words."""
    sums = [sum(counts) for counts in zip(*of["series"].values(), strict=True)]
    return "; ".join(f"{label}: {count:,}" for label, count in zip(of["labels"], sums, strict=True) if count)


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else DASH if value is None else str(value)
