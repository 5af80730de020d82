"""The figures of a method beside its saved model, for machines and for people."""

from pathlib import Path
from typing import Any

from ccf_llm.io.files import write_json, write_text

NAMES = {"auc": "AUC", "uauc": "UAUC", "log_loss": "log loss", "ndcg@10": "NDCG@10", "recall@10": "Recall@10"}


def keep_figures(model: Path, method: str, metrics: dict[str, Any]) -> None:
    """Write `metrics.json` and `figures.md` into the folder of a saved model, of what a run has measured on test."""
    figures = metrics["models"][method]
    about = {name: metrics[name] for name in ("dataset", "split", "seed", "made")}
    write_json(model / "metrics.json", {**about, "part": "test", "figures": figures})
    parts = {"all": figures} | figures["slices"]
    shown = {key: name for key, name in NAMES.items() if key in figures}
    lines = [
        f"# {method} on {metrics['dataset']}, test",
        "",
        f"With 95 % intervals over people; seed {metrics['seed']}, commit {metrics['made']['commit']}.",
        "",
        f"| | {' | '.join(shown.values())} |",
        "|---" * (len(shown) + 1) + "|",
        *(f"| {name} | {' | '.join(_cell(found, key) for key in shown)} |" for name, found in parts.items()),
    ]
    write_text(model / "figures.md", "\n".join(lines) + "\n")


def _cell(figures: dict[str, Any], key: str) -> str:
    """A figure with its interval; a dash where it is not defined."""
    if (value := figures.get(key)) is None:
        return "-"
    low, high = figures.get(f"{key}_ci", (None, None))
    return f"{value:.4f}" + ("" if low is None or high is None else f" ({low:.4f} to {high:.4f})")
