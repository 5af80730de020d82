"""What a run of the ranking task learns from: lists of retrievers that have not seen the person."""

from dataclasses import replace

import numpy as np

from ccf_llm.cf.candidates import Candidates, CrossFittedRetrievers, draw_folds
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.cuts import draw_cuts
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import dislikes_matrix, likes_matrix, targets
from ccf_llm.experiments.cf import CrossFitted, fit_folds
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.io.progress import Say
from ccf_llm.training.data import ListData
from ccf_llm.training.lists import draw_lists


def make_lists(
    config: RunConfig, folder: RunFolder, dataset: Dataset, reference: RetrieverVectors, folds: int, say: Say
) -> tuple[ListData, CrossFitted | None]:
    """Lists to learn from and lists to choose by, and the retrievers that made the former where `folds` are not 0.

    Args:
        config: says how lists are made.
        folder: where cross-fitted retrievers are kept.
        dataset: with a split.
        reference: the retriever that was fitted on all of train.
        folds: of the users, each of whom is asked of a retriever that has not seen them; 0: all of `reference`.
        say: gets a line for each fit.
    """
    ranking, seed = config.ranking, config.seed
    asked: Retriever | CrossFittedRetrievers = reference.retriever
    crossed, fold_of_user = None, np.zeros(0, dtype=np.int64)
    if folds:
        fold_of_user = draw_folds(len(dataset.user_vocabulary), folds, seed)
        crossed = fit_folds(folder, dataset, config, reference, fold_of_user[dataset.rows("train").users], say)
        asked = CrossFittedRetrievers([retriever_of(model) for model in crossed.models], fold_of_user)
    cuts = draw_cuts(dataset, each=ranking.cuts, horizon=ranking.horizon, earliest=ranking.earliest, seed=seed)
    found = Candidates.of(cuts, ranking.depth, asked)
    liked, popularity = likes_matrix(dataset, "train"), reference.retriever.popularity
    disliked = dislikes_matrix(dataset, "train")
    train, size = draw_lists(found, liked, disliked, popularity, ranking, seed), ranking.size
    say(f"lists: {len(train) // size:,} of {size} items, of {len(np.unique(train.users)):,} users")
    valid = Candidates.of(targets(dataset, "valid"), ranking.depth, reference.retriever)
    marks = np.asarray(disliked[train.users, train.items]).ravel() > 0
    data = ListData(train, size, valid, disliked=marks & (train.labels == 0))
    if crossed is None:
        return data, None
    models = crossed.models
    return replace(data, cf_of_row=lambda row: models[int(fold_of_user[train.users[row]])]), crossed


def retriever_of(model: object) -> Retriever:
    """The retriever in a CF model of the ranking task."""
    assert isinstance(model, RetrieverVectors)  # the configuration names no other kind
    return model.retriever
