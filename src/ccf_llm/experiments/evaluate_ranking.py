"""Measure every method of a run of the ranking task by its lists."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.lists import write_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.cf import load_fitted
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, language_share, model_scores, reranked_lists, retriever_lists
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.files import write_json
from ccf_llm.io.progress import Advance, advance_of
from ccf_llm.model.ccfllm import CCFLLM


def evaluate_ranking(
    folder: RunFolder, config: RunConfig, dataset: Dataset, part: Part, scoring: Advance | None
) -> dict[str, Any]:
    """Make the lists of the run's retrievers and methods, keep them as lists.parquet, and write `metrics.json`.

    Beside the figures of every row over its people: `sample`, those of all rows over the people that language models
    were asked for, where these are some; `weights`, a and b of each method; `shares`, see `language_share`.

    Raises:
        CCFError: the data set is not the one that the run was trained on.
    """
    trained = TrainedOn.load(folder.data)
    trained.check_same(dataset)
    everybody, some = Asked.of(dataset, part), Asked.of(dataset, part, config.ranking.people)
    frames = [
        retriever_lists(name, retriever_of(load_fitted(folder, name, trained)), everybody, config.seed)
        for name in config.resolved.cf_rows
    ]
    weights, shares = {}, {}
    for method in config.methods:
        model = CCFLLM.load(folder.model(method), device=config.llm.device)
        trained.check(model.info.data.identity if model.info.data else None, str(folder.model(method)))
        candidates = Candidates.of(some.targets, config.ranking.depth, retriever_of(model.network.cf))
        tick = advance_of(scoring, method, int((candidates.items > 0).sum()))
        scores, llm, retriever = model_scores(model.scorer, candidates, tick)
        frames.append(reranked_lists(method, candidates, scores, some, config.seed))
        weights[method] = model.network.blend.weights.tolist()[:2]
        shares[method] = round(language_share(np.array(weights[method]), llm, retriever), 4)
    lists = pl.concat(frames)
    write_lists(lists, list_file(folder, part))
    known = Known.of(dataset, part)
    metrics = {
        "task": "ranking",
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json") if dataset.split else None,
        "part": part,
        "seed": config.seed,
        **evaluate_lists(lists, known),
        "sample": None if len(some.users) == len(everybody.users) else _of_people(lists, known, some),
        "weights": weights,
        "shares": shares,
        "made": circumstances(),
        "config": config.model_dump(mode="json"),
    }
    write_json(folder.metrics if part == "test" else folder.metrics.with_stem(f"metrics-{part}"), metrics)
    return metrics


def _of_people(lists: pl.DataFrame, known: Known, some: Asked) -> dict[str, Any]:
    """The figures of all rows for the people that language models were asked for: these compare as they stand."""
    return evaluate_lists(lists.filter(pl.col("user_id").is_in(some.users)), known)


def list_file(folder: RunFolder, part: Part) -> Path:
    """Where the lists of a part are kept."""
    return folder.lists if part == "test" else folder.lists.with_stem(f"lists-{part}")
