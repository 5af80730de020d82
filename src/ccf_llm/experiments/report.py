"""The run's page: figures, curves, what the gate does, recommendations."""

from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import LATE_FUSION, WITH_TREES, RunConfig, check_config
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.gate import gate_by_popularity
from ccf_llm.experiments.results import fusions
from ccf_llm.io.files import read_json, write_json, write_text
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.reports.plots import ndcg_by_row, overview, write_png
from ccf_llm.reports.ranking_report import overview_table, render_ranking_report
from ccf_llm.reports.rating_report import render_rating_report


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
    report = metrics | {
        "training": _curves(stages),
        "gate": _gate(folder, config),
        "recommendations": read_json(folder.recommendations) if folder.recommendations.is_file() else [],
        "about": _about(metrics, config, stages),
        "notes": _notes(config),
    }
    if config.ranks:
        report |= {"main": config.main, "retriever": config.resolved[config.main].cf, "depth": config.ranking.depth}
        write_text(folder.report, render_ranking_report(report))
        write_png(lambda: ndcg_by_row(overview_table(report)), folder.path / "overview.png")
    else:
        report["rivals"] = [name for name in (config.cf.model, config.resolved.text_only) if name]
        write_text(folder.report, render_rating_report(report))
        write_png(lambda: overview(metrics), folder.path / "overview.png")
    return folder.report


def keep_recommendations(folder: RunFolder, title: str, history: list[str], items: list[dict[str, Any]]) -> None:
    """Add recommendations to those that the report shows; the same person's older ones are replaced."""
    kept = read_json(folder.recommendations) if folder.recommendations.is_file() else []
    others = [entry for entry in kept if entry["for"] != title]
    write_json(folder.recommendations, [*others, {"for": title, "history": history, "items": items}])


def _curves(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Loss and validation of every stage, as the report draws them."""
    return [
        {
            "run": curve["method"],
            "stage": curve["stage"],
            "steps": [step for step, _ in curve["loss"]],
            "loss": [loss for _, loss in curve["loss"]],
            "valid": curve["valid"],
        }
        for curve in stages
    ]


def _gate(folder: RunFolder, config: RunConfig) -> list[dict[str, Any]]:
    """What the main model's gate lets through; nothing where no CF vector stands in a slot."""
    if not config.resolved[config.main].fills_slots:
        return []
    return gate_by_popularity(CCFLLM.load(folder.model(config.main), device="cpu"))


def _about(metrics: dict[str, Any], config: RunConfig, training: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings and circumstances, for the foot of the page."""
    made, main = metrics["made"], config.resolved[config.main]
    times = ", ".join(f"{c['method']}/{c['stage']} {c['rows']:,} rows in {c['seconds']:.0f} s" for c in training)
    return {
        "data set": metrics["dataset"],
        "split": _split(metrics["split"]),
        "base model": config.llm.model + (f", its first {main.layers} layers" if main.layers else ""),
        "seed": metrics["seed"],
        "language-model training": times,
        "gate": main.fusion.variant,
        "collaborative model in the slots": config.cf.model,
        "cross-fitted CF folds": config.cf.folds,
        "commit": made["commit"] or "not a checkout",
        "machine": ", ".join(f"{k} {v}" for k, v in made["machine"].items() if v),
        "measured at": made["at"],
    }


def _split(split: dict[str, Any] | None) -> str:
    """The rule and, where there are some, the shares and new items."""
    if split is None:
        return "given"
    shares = split.get("fractions") or {}
    words = [split["rule"], *(f"{part} {share:.0%}" for part, share in shares.items())]
    if new := split.get("new_items"):
        words.append(f"{len(new['items']):,} items held out, {'the newest' if new['by'] == 'time' else 'drawn'}")
    return ", ".join(words)


def _notes(config: RunConfig) -> list[str]:
    """What a reader must know to read the table right."""
    notes = [
        "CCF-LLM's equations and code are not public: this is a reconstruction, its choices are options of the "
        "configuration.",
    ]
    return [*notes, *(_ranking_notes if config.ranks else _rating_notes)(config), *config.notes]


def _rating_notes(config: RunConfig) -> list[str]:
    notes = ["The best state of each stage and the weights of each blend were chosen on valid."]
    notes += [
        f"Stage '{name}' trains the language model on a random {stage.rows:,} of the training rows per pass "
        "(whole packs, drawn with the seed); the CF models are fitted on all of them."
        for name, stage in config.stages.items()
        if stage.rows is not None
    ]
    text = config.resolved.text_only
    if text:
        notes.append(
            f"{LATE_FUSION} is the simple rival: the log-odds of {config.cf.model} and {text}, weighted by "
            "a logistic regression on valid. Methods that read CF end with the same blend, so compare them with it too."
        )
    if config.main + WITH_TREES in fusions(config, config.main):
        notes.append(
            f"{config.main}{WITH_TREES}: the log-odds of {config.main} and of trees that read words, weighted likewise."
        )
    most = config.data.split.max_rows_per_user
    if most is not None:
        notes.append(
            f"Valid and test hold at most {most} rows of a user, drawn at random, so that many users are measured."
        )
    return notes


def _ranking_notes(config: RunConfig) -> list[str]:
    size = config.ranking.size
    return ["The best state of each stage and a and b of each row were chosen on valid."] + [
        f"Stage '{name}' trains the language model on some {stage.rows // size:,} lists of {size} items per pass "
        "(drawn with the seed): a moment of somebody's past, what they chose later, and what else the retriever finds."
        for name, stage in config.stages.items()
        if stage.rows is not None
    ]
