"""Measure every method of a run of the ranking task by its lists."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.manifest import Part
from ccf_llm.evaluation.known import Among, Known
from ccf_llm.evaluation.lists import write_lists
from ccf_llm.evaluation.people import people_of
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.cf import load_fitted
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import TREES, TREES_WORDS, RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import (
    Asked,
    language_share,
    lists_among_new,
    model_scores,
    reranked_lists,
    retriever_lists,
)
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.experiments.trees import TreeRows
from ccf_llm.io.files import write_json
from ccf_llm.io.progress import Advance, Say, advance_of
from ccf_llm.model.ccfllm import CCFLLM


def evaluate_ranking(
    folder: RunFolder, config: RunConfig, dataset: Dataset, part: Part, say: Say, scoring: Advance | None
) -> dict[str, Any]:
    """Make the lists of the run's retrievers, trees and methods, keep them as lists.parquet, and write `metrics.json`.

    Beside the figures of every row over its people: `sample`, those of all rows over the people that language models
    were asked for, where these are some; `weights`, a and b of each method; `shares`, see `language_share`; where the
    split holds out new items `new_items`, the figures of these among themselves, whose lists are kept too.

    Raises:
        CCFError: the data set is not the one that the run was trained on.
    """
    trained = TrainedOn.load(folder.data)
    trained.check_same(dataset)
    everybody, some = Asked.of(dataset, part), Asked.of(dataset, part, config.ranking.people)
    frames, among_new = [], []
    all_new, some_new = (Asked.of(dataset, part, people, "new") for people in (None, config.ranking.people))
    for name in config.resolved.cf_rows:
        fitted = load_fitted(folder, name, trained)
        retriever = retriever_of(fitted)
        frames.append(retriever_lists(name, retriever, everybody, config.seed))
        if all_new.users:
            among_new.append(retriever_lists(name, retriever, all_new, config.seed))
        if config.ranking.trees and name == config.cf.model:
            assert isinstance(fitted, RetrieverVectors)
            trees = TreeRows(config, folder, dataset, fitted, say)
            frames += [trees.lists(row, everybody) for row in (TREES, TREES_WORDS)]
    weights, shares = {}, {}
    for method in config.methods:
        model = CCFLLM.load(folder.model(method), device=config.llm.device)
        trained.check(model.info.data.identity if model.info.data else None, str(folder.model(method)))
        candidates = Candidates.of(some.targets, config.ranking.depth, retriever_of(model.network.cf))
        tick = advance_of(scoring, method, int((candidates.items > 0).sum()))
        scores, llm, of_retriever = model_scores(model.scorer, candidates, tick)
        frames.append(reranked_lists(method, candidates, scores, some, config.seed))
        if some_new.users:
            among_new.append(lists_among_new(method, model.scorer, some_new, config.ranking.depth, config.seed))
        weights[method] = model.network.blend.weights.tolist()[:2]
        shares[method] = round(language_share(np.array(weights[method]), llm, of_retriever), 4)
    lists = pl.concat(frames)
    write_lists(lists, list_file(folder, part))
    if among_new:
        write_lists(pl.concat(among_new), list_file(folder, part, "new"))
    known = replace(Known.of(dataset, part), people=people_of(dataset, dataset.user_vocabulary))
    metrics = {
        "task": "ranking",
        "dataset": dataset.name,
        "split": dataset.split.model_dump(mode="json") if dataset.split else None,
        "part": part,
        "seed": config.seed,
        **evaluate_lists(lists, known),
        "sample": None if len(some.users) == len(everybody.users) else _of_people(lists, known, some),
        **({"new_items": _of_new(pl.concat(among_new), dataset, part)} if among_new else {}),
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


def _of_new(lists: pl.DataFrame, dataset: Dataset, part: Part) -> dict[str, Any]:
    """The figures of new items ranked among themselves."""
    return evaluate_lists(lists, Known.of(dataset, part, "new"))


def list_file(folder: RunFolder, part: Part, among: Among = "all") -> Path:
    """Where the lists of a part are kept, of the whole catalogue or of new items among themselves."""
    stem = "lists" if part == "test" else f"lists-{part}"
    return folder.lists.with_stem(stem if among == "all" else f"{stem}-new")
