"""Measure every method of a run of the rating task on the same labelled rows."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.cf.scorer import Scorer
from ccf_llm.cf.settings import CFSettings
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.metrics import auc
from ccf_llm.evaluation.people import people_of
from ccf_llm.evaluation.rating import evaluate
from ccf_llm.experiments.cf import fit_row, load_fitted
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import CF_METHODS, RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.results import fusions
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.fetch import announce
from ccf_llm.io.files import write_json
from ccf_llm.io.progress import Advance, advance_of
from ccf_llm.model.blend import Blend
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.scoring import SharedPrefixScorer
from ccf_llm.training.steps import sample_users

FUSION_ROWS, FUSION_USER_ROWS = 2000, 10
"""Valid rows that a fusion is weighted on, and how many of them one user may have at most. With 1,000 a half that helps
was left out by chance in two seeds of three (trees with words and the language model, published MovieLens-1M split)."""


def evaluate_rating(
    folder: RunFolder, config: RunConfig, dataset: Dataset, part: Part, scoring: Advance | None
) -> dict[str, Any]:
    """Score the rows of `part` with the run's CF models and every trained method, and write `metrics.json`.

    Raises:
        CCFError: the rows of `part` were training rows.
    """
    trained = TrainedOn.load(folder.data)
    rows = trained.rows(dataset, part)
    if dataset.identity != trained.identity:
        announce(f"{dataset.name} has changed since this run was trained; none of its {part} rows was learned from")
    cf = {name: load_fitted(folder, name, trained) for name in config.resolved.cf_rows}
    scores = {name: model.score(rows) for name, model in cf.items()}
    for method in config.methods:
        model = CCFLLM.load(folder.model(method), device=config.llm.device)
        trained.check(model.info.data.identity if model.info.data else None, str(folder.model(method)))
        scores[method] = model.score_rows(rows, advance_of(scoring, method, len(rows)))
        for row, kind in fusions(config, method).items():
            blend = fit_fusion(config, trained.rows(dataset, "valid"), method, model.scorer, cf[kind], scoring)
            scores[row] = blend(scores[method], scores[kind])
    people = people_of(dataset, trained.users)
    metrics = measure(dataset, rows, scores, trained.counts, part=part, seed=config.seed, people=people)
    metrics["config"] = config.model_dump(mode="json")
    write_json(folder.metrics if part == "test" else folder.metrics.with_stem(f"metrics-{part}"), metrics)
    return metrics


def evaluate_cf(method: str, dataset: Dataset, *, part: Part = "test", seed: int = 0) -> dict[str, Any]:
    """Fit one CF method on the data set's train rows and measure it; needs no run.

    Raises:
        CCFError: another method, or a data set without a split.
    """
    if method not in CF_METHODS:
        raise CCFError(
            f"--method {method}: not one of {', '.join(CF_METHODS)}; language-model methods need a trained run"
        )
    train, rows = dataset.rows("train"), dataset.rows(part)
    model = fit_row(method, dataset, train, CFSettings(), seed)
    counts, people = TrainedOn.of(dataset).counts, people_of(dataset, dataset.user_vocabulary)
    return measure(dataset, rows, {method: model.score(rows)}, counts, part=part, seed=seed, people=people)


def measure(
    dataset: Dataset,
    rows: Rows,
    scores: dict[str, NDArray[np.float32]],
    counts: tuple[Codes, Codes],
    *,
    part: Part,
    seed: int,
    people: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """All figures, with what is needed to know how they came about: data, split, seed, commit, machine.

    `counts` are the training rows of each user code and of each item code, which decide what is warm;
    `people` are words of users by code (`people_of`).
    """
    user_counts, item_counts = counts
    cf_auc = {name: auc(rows.labels, scores[name]) for name in CF_METHODS if name in scores}
    baseline = max(cf_auc, key=lambda name: cf_auc[name]) if cf_auc else None
    found = evaluate(
        rows,
        dict(scores),
        user_counts=user_counts,
        item_counts=item_counts,
        people=people,
        baseline=baseline,
        seed=0,
    ).to_json()
    return {
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json") if dataset.split else None,
        "seed": seed,
        "rows": {part: len(rows), **found["rows"]},
        "models": found["models"],
        "made": circumstances(),
    }


def fit_fusion(
    config: RunConfig, valid: Rows, method: str, scorer: SharedPrefixScorer, cf: Scorer, scoring: Advance | None
) -> Blend:
    """Log-odds of a method and of a CF row, weighted on valid rows of many users."""
    chosen = sample_users(valid, FUSION_ROWS, config.seed, FUSION_USER_ROWS)
    blend = Blend()
    llm = scorer.score(chosen, advance_of(scoring, f"{method} on valid", len(chosen)))
    blend.fit(llm, cf.score(chosen), chosen.labels, chosen.users)
    return blend
