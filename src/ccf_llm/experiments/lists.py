"""What a run of the ranking task learns from: lists of retrievers that have not seen the person."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ccf_llm.cf.candidates import Candidates, CrossFittedRetrievers, draw_folds
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.cuts import draw_cuts
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import dislikes_matrix, likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.experiments.cf import CrossFitted, fit_folds, fit_moments
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.io.progress import Say
from ccf_llm.training.data import ListData
from ccf_llm.training.lists import draw_lists

Draw = Callable[[Candidates, Retriever], Rows]
"""Lists from what a retriever found."""
Made = tuple[Rows, CrossFitted | None, Codes]
"""Rows of lists one after the other, the retrievers that were asked, and by list the number of the one that was."""


def make_lists(
    config: RunConfig, folder: RunFolder, dataset: Dataset, reference: RetrieverVectors, folds: int, say: Say
) -> tuple[ListData, CrossFitted | None]:
    """Lists to learn from and lists to choose by, and the retrievers that made the former where `folds` are not 0.

    Args:
        config: says how lists are made.
        folder: where cross-fitted retrievers are kept.
        dataset: with a split.
        reference: the retriever that was fitted on all of train.
        folds: of the users, each of whom is asked of a retriever that has not seen them, or, where lists are of moments
            that all share, any number: each is asked of one that has not seen what came later; 0: all of `reference`.
        say: gets a line for each fit.
    """
    ranking, liked, disliked = config.ranking, likes_matrix(dataset, "train"), dislikes_matrix(dataset, "train")

    def draw(found: Candidates, retriever: Retriever) -> Rows:
        return draw_lists(found, liked, disliked, retriever.popularity, ranking, config.seed)

    if ranking.moments and folds:
        train, models, asked_of = _of_moments(config, folder, dataset, reference, draw, say)
    else:
        train, models, asked_of = _of_cuts(config, folder, dataset, reference, folds, draw, say)
    say(f"lists: {len(asked_of):,} of {ranking.size} items, of {len(np.unique(train.users)):,} users")
    valid = Candidates.of(targets(dataset, "valid"), ranking.depth, reference.retriever)
    marks = np.asarray(disliked[train.users, train.items]).ravel() > 0
    data = ListData(train, ranking.size, valid, disliked=marks & (train.labels == 0))
    if models is None:
        return data, None
    return replace(data, cf_of_row=lambda row: models.models[int(asked_of[row // ranking.size])]), models


def _of_cuts(
    config: RunConfig,
    folder: RunFolder,
    dataset: Dataset,
    reference: RetrieverVectors,
    folds: int,
    draw: Draw,
    say: Say,
) -> Made:
    """Lists of each one's own past."""
    ranking, seed = config.ranking, config.seed
    asked: Retriever | CrossFittedRetrievers = reference.retriever
    crossed, fold_of_user = None, np.zeros(len(dataset.user_vocabulary) + 1, dtype=np.int64)
    if folds:
        fold_of_user = draw_folds(len(dataset.user_vocabulary), folds, seed)
        crossed = fit_folds(folder, dataset, config, reference, fold_of_user[dataset.rows("train").users], say)
        asked = CrossFittedRetrievers([retriever_of(model) for model in crossed.models], fold_of_user)
    cuts = draw_cuts(dataset, each=ranking.cuts, horizon=ranking.horizon, earliest=ranking.earliest, seed=seed)
    found = Candidates.of(cuts, ranking.depth, asked)
    rows = draw(found, reference.retriever)
    return rows, crossed, fold_of_user[rows.users[:: ranking.size]]


def _of_moments(
    config: RunConfig, folder: RunFolder, dataset: Dataset, reference: RetrieverVectors, draw: Draw, say: Say
) -> Made:
    """Lists of moments that all share."""
    assert config.ranking.moments is not None
    then = moments(dataset, config.ranking.moments, config.ranking.earliest)
    fitted = fit_moments(folder, then, config, reference, say)
    retrievers, depth = [retriever_of(model) for model in fitted.models], config.ranking.depth
    found = [Candidates.of(targets(then[k], "valid"), depth, retriever) for k, retriever in enumerate(retrievers)]
    useful = [k for k, lists in enumerate(found) if lists.relevant.any()] or [0]  # of none the draw says what to do
    rows = [draw(found[k], retrievers[k]) for k in useful]
    return Rows.concat(rows), fitted, np.repeat(useful, [len(own) // config.ranking.size for own in rows])


def retriever_of(model: object) -> Retriever:
    """The retriever in a CF model of the ranking task."""
    assert isinstance(model, RetrieverVectors)  # the configuration names no other kind
    return model.retriever
