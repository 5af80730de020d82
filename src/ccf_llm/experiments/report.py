"""The run's page: figures, curves, what the gate does, recommendations."""

from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import LATE_FUSION, RunConfig, check_config
from ccf_llm.experiments.evaluate_rating import gate_by_popularity
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.io.files import read_json, write_json
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.reports.plots import overview, write_png
from ccf_llm.reports.report_page import write_report


def report_run(folder: RunFolder) -> Path:
    """Write `report.html` and `overview.png` from the run's files; returns the page's path.

    Raises:
        CCFError: the run has not been evaluated.
    """
    if not folder.metrics.is_file():
        raise CCFError(f"{folder.metrics}: no figures yet; run ccf-llm evaluate {folder.path}")
    metrics = read_json(folder.metrics)
    config = check_config(metrics["config"], str(folder.metrics))
    stages = read_json(folder.training)
    training = [
        {
            "run": curve["method"],
            "stage": curve["stage"],
            "steps": [step for step, _ in curve["loss"]],
            "loss": [loss for _, loss in curve["loss"]],
            "valid": curve["valid"],
        }
        for curve in stages
    ]
    page = {
        "models": metrics["models"],
        "rows": metrics["rows"],
        "rivals": [name for name in (config.cf.model, config.resolved.text_only) if name],
        "training": training,
        "gate": gate_by_popularity(CCFLLM.load(folder.model(config.main), device="cpu")),
        "recommendations": read_json(folder.recommendations) if folder.recommendations.is_file() else [],
        "about": _about(metrics, config, stages),
        "notes": _notes(config),
    }
    write_report(page, folder.report)
    write_png(lambda: overview(metrics), folder.path / "overview.png")
    return folder.report


def keep_recommendations(folder: RunFolder, title: str, history: list[str], items: list[dict[str, Any]]) -> None:
    """Add recommendations to those that the report shows; the same person's older ones are replaced."""
    kept = read_json(folder.recommendations) if folder.recommendations.is_file() else []
    others = [entry for entry in kept if entry["for"] != title]
    write_json(folder.recommendations, [*others, {"for": title, "history": history, "items": items}])


def _about(metrics: dict[str, Any], config: RunConfig, training: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings and circumstances, for the foot of the page."""
    made = metrics["made"]
    times = ", ".join(f"{c['method']}/{c['stage']} {c['rows']:,} rows in {c['seconds']:.0f} s" for c in training)
    return {
        "data set": metrics["dataset"],
        "split": metrics["split"]["rule"] if metrics["split"] else "given",
        "base model": config.llm.model,
        "seed": metrics["seed"],
        "language-model training": times,
        "gate": config.resolved[config.main].fusion.variant,
        "collaborative model in the slots": config.cf.model,
        "cross-fitted CF folds": config.cf.folds,
        "commit": made["commit"] or "not a checkout",
        "machine": ", ".join(f"{k} {v}" for k, v in made["machine"].items() if v),
        "measured at": made["at"],
    }


def _notes(config: RunConfig) -> list[str]:
    """What a reader must know to read the table right."""
    notes = [
        "CCF-LLM's equations and code are not public: this is a reconstruction, its choices are options of the "
        "configuration.",
        "The best state of each stage and the weights of each blend were chosen on valid.",
    ]
    for name, stage in config.stages.items():
        if stage.rows is not None:
            notes.append(
                f"Stage '{name}' trains the language model on a random {stage.rows:,} of the training rows per pass "
                "(whole packs, drawn with the seed); the CF models are fitted on all of them."
            )
    text = config.resolved.text_only
    if text:
        notes.append(
            f"{LATE_FUSION} is the simple rival: the log-odds of {config.cf.model} and {text}, weighted by "
            "a logistic regression on valid. Methods that read CF end with the same blend, so compare them with it too."
        )
    most = config.data.split.max_rows_per_user
    if most is not None:
        notes.append(
            f"Valid and test hold at most {most} rows of a user, drawn at random, so that many users are measured."
        )
    return [*notes, *config.notes]
