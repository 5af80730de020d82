"""Boosted trees over the best of a run's retriever: the simple rival of its language models."""

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.rank_features import Likes
from ccf_llm.cf.rank_trees import RankTrees, training_lists
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.experiments.config import RunConfig
from ccf_llm.io.progress import Say
from ccf_llm.text.sentences import sentence_vectors
from ccf_llm.text.titles import reading_order


def fit_trees(
    config: RunConfig, dataset: Dataset, retriever: Retriever, *, words: bool, say: Say
) -> tuple[RankTrees, Candidates]:
    """Trees on lists of retrievers like `retriever` that have not seen the people, and the valid lists they stop by.

    With `words` they read genres, years, and how close titles are by a sentence encoder: the same words as the
    language models, and more of them than any language model of this size makes use of.
    """
    settings = config.cf.rank_trees
    own = config.cf.of(config.cf.model)
    assert isinstance(own, RetrieverConfig)  # the configuration names no other kind
    lists = training_lists(dataset, RETRIEVERS[config.cf.model], retriever=own, config=settings, seed=config.seed)
    valid = Candidates.of(targets(dataset, "valid"), settings.candidates, retriever)
    likes = Likes.of(likes_matrix(dataset, "train"), like_times(dataset, "train"))
    known = item_words(dataset) if words else None
    return RankTrees.fit(lists, valid, likes, words=known, config=settings, seed=config.seed, progress=say), valid


def item_words(dataset: Dataset) -> ItemWords:
    """What the items' texts say, titles by a sentence encoder."""
    titles = [reading_order(title) for title in dataset.items["title"]]
    return ItemWords.of(dataset.items, sentence_vectors(titles))
