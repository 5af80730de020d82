"""Boosted trees over the best of a run's retriever: the simple rival of its language models."""

from functools import partial
from typing import Any

import numpy as np
import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.rank_features import Likes
from ccf_llm.cf.rank_trees import RankTrees, Then, lists_of_moments, training_lists
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.rows import Floats
from ccf_llm.experiments.config import TREES_WORDS, RunConfig
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.ranked import Asked, reranked_lists
from ccf_llm.experiments.words import item_words, words_of
from ccf_llm.io.progress import Say


class TreeRows:
    """The trees of a run, each fitted when first asked for, over lists that are made once.

    Args:
        config: of the run: its retriever's settings, and those of the trees.
        dataset: with a split.
        retriever: the run's own, fitted on all of train.
        say: gets a line for each fit.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, retriever: Retriever, say: Say) -> None:
        settings, kind = config.cf.rank_trees, config.cf.model
        own = config.cf.of(kind)
        assert isinstance(own, RetrieverConfig)  # the configuration names no other kind
        self._config, self._dataset, self._retriever, self._say = config, dataset, retriever, say
        self._fitted: dict[bool, tuple[RankTrees, Cost]] = {}
        with measured() as self._made:
            told: dict[str, Any] = {"retriever": own, "config": settings, "seed": config.seed}
            self._lists: Candidates | list[Then]
            if config.ranking.moments is None:
                words = words_of(config, dataset)
                self._lists = training_lists(dataset, RETRIEVERS[kind], words=words, **told)
            else:
                then = moments(dataset, config.ranking.moments, config.ranking.earliest)
                self._lists = lists_of_moments(then, RETRIEVERS[kind], words=partial(words_of, config), **told)
            self.valid = Candidates.of(targets(dataset, "valid"), settings.candidates, retriever)
            """The valid lists, by which the trees stop."""

    def fitted(self, *, words: bool) -> tuple[RankTrees, Cost]:
        """Trees, and what they took, their lists included.

        With `words` they read genres, years, and how close titles are by a sentence encoder: the same words as the
        language models, and more of them than any language model of this size makes use of.
        """
        if words not in self._fitted:
            with measured() as cost:
                trees = self._fit(item_words(self._dataset) if words else None, self.valid)
            cost.seconds = round(cost.seconds + self._made.seconds, 2)
            cost.peak_mb = max(cost.peak_mb, self._made.peak_mb)
            self._fitted[words] = trees, cost
        return self._fitted[words]

    def lists(self, row: str, asked: Asked) -> pl.DataFrame:
        """The retriever's best in the order of the trees, with words in the row of that name."""
        trees, _ = self.fitted(words=row == TREES_WORDS)
        candidates = Candidates.of(asked.targets, self._config.cf.rank_trees.candidates, self._retriever)
        scores = np.where(candidates.items > 0, trees.scores(candidates), np.nan)
        return reranked_lists(row, candidates, scores, asked, self._config.seed)

    def held_out(self, *, words: bool) -> Floats:
        """(U, m) scores of the valid lists, of each half of the people by trees that stopped by the other half.

        What the trees are worth beside something else is read off these: by lists that chose how many trees there are,
        they look better than they are.
        """
        drawn = np.random.default_rng(self._config.seed).permutation(len(self.valid))
        half = np.empty(len(drawn), dtype=np.int64)  # with as many in each who are shown what is to be found
        half[drawn[np.argsort(self.valid.relevant.any(1)[drawn], kind="stable")]] = np.arange(len(drawn)) % 2
        scores = np.empty(self.valid.items.shape, dtype=np.float32)
        told = item_words(self._dataset) if words else None
        for own in (0, 1):
            stopped_by = self.valid.take(np.flatnonzero(half != own))
            scores[half == own] = self._fit(told, stopped_by).scores(self.valid.take(np.flatnonzero(half == own)))
        return scores

    def _fit(self, words: ItemWords | None, valid: Candidates) -> RankTrees:
        config, dataset = self._config, self._dataset
        clocked = config.ranking.moments is not None
        likes = Likes.of(likes_matrix(dataset, "train"), like_times(dataset, "train"), clocked=clocked)
        return RankTrees.fit(
            self._lists,
            valid,
            likes,
            words=words,
            config=config.cf.rank_trees,
            seed=config.seed,
            progress=self._say,
        )
