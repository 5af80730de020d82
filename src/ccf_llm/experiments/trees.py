"""Boosted trees over the best of a run's retriever: the simple rival of its language models."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.rank_features import Likes
from ccf_llm.cf.rank_trees import RankTrees, Then, lists_of_moments, training_lists
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.moments import moments
from ccf_llm.data.rows import Floats
from ccf_llm.experiments.cf import fit_cf, fit_moments, load_vectors
from ccf_llm.experiments.config import TREES_WORDS, RunConfig
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, reranked_lists
from ccf_llm.experiments.words import item_words, words_of
from ccf_llm.io.progress import Say


class TreeRows:
    """The trees of a run, each fitted when first asked for, over lists that are made once.

    Args:
        config: of the run: its retriever's settings, and those of the trees.
        folder: where retrievers of moments that all share are kept, for language models and trees.
        dataset: with a split.
        reference: the run's own retriever, fitted on all of train.
        say: gets a line for each fit.
    """

    def __init__(
        self, config: RunConfig, folder: RunFolder, dataset: Dataset, reference: RetrieverVectors, say: Say
    ) -> None:
        self._config, self._dataset, self._retriever, self._say = config, dataset, reference.retriever, say
        self._fitted: dict[bool, tuple[RankTrees, Cost]] = {}
        self.shared: dict[str, float] = {}
        """Seconds of what language models need as well, by name."""
        ranking = config.ranking
        then = moments(dataset, ranking.moments, ranking.earliest) if ranking.moments else []
        fitted = fit_moments(folder, then, config, reference, say) if then else None
        if fitted:
            self.shared[fitted.name] = fitted.seconds
        with measured() as self._made:
            self._lists = self._of_moments(then, fitted.models) if fitted else self._of_cuts()
            self.valid = Candidates.of(targets(dataset, "valid"), config.cf.rank_trees.candidates, self._retriever)
            """The valid lists, by which the trees stop."""

    @classmethod
    def of_run(cls, config: RunConfig, folder: RunFolder, dataset: Dataset, say: Say) -> Self:
        """Over the run's own retriever, which is fitted unless the folder has it."""
        fit_cf(folder, dataset, [config.cf.model], config, say)
        reference = load_vectors(folder, config.cf.model)
        assert isinstance(reference, RetrieverVectors)  # the configuration names no other kind
        return cls(config, folder, dataset, reference, say)

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
        they look better than they are. Where a half of the people would be shown nothing that is to be found, all stop
        them.
        """
        known = np.asarray(self.valid.relevant.any(axis=1))
        if known.sum() < 2:
            return self.fitted(words=words)[0].scores(self.valid)
        drawn = np.random.default_rng(self._config.seed).permutation(len(self.valid))
        half = np.empty(len(drawn), dtype=np.int64)  # with as many in each who are shown what is to be found
        half[drawn[np.argsort(known[drawn], kind="stable")]] = np.arange(len(drawn)) % 2
        scores = np.empty(self.valid.items.shape, dtype=np.float32)
        told = item_words(self._dataset) if words else None
        for own, other in ((0, 1), (1, 0)):
            here, there = np.flatnonzero(half == own), np.flatnonzero(half == other)
            scores[here] = self._fit(told, self.valid.take(there)).scores(self.valid.take(here))
        return scores

    def _of_cuts(self) -> Candidates:
        config, kind = self._config, self._config.cf.model
        own = config.cf.of(kind)
        assert isinstance(own, RetrieverConfig)  # the configuration names no other kind
        told: dict[str, Any] = {"retriever": own, "config": config.cf.rank_trees, "seed": config.seed}
        return training_lists(self._dataset, RETRIEVERS[kind], words=words_of(config, self._dataset), **told)

    def _of_moments(self, then: list[Dataset], fitted: Sequence[object]) -> list[Then]:
        return lists_of_moments(then, [retriever_of(model) for model in fitted], self._config.cf.rank_trees)

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
