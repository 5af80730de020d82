"""Boosted trees over a retriever's best: LambdaRank (Burges 2010) by LightGBM, the simple rival of any reranker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.candidates import Candidates, CrossFittedRetrievers
from ccf_llm.cf.gbm import TREES_FILE, import_lightgbm, read_trees, tree_parameters, trees_checksum
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.prior import Words
from ccf_llm.cf.rank_features import Likes, RankFeatures
from ccf_llm.cf.retriever import Retriever
from ccf_llm.cf.settings import RankTreesConfig, RetrieverConfig
from ccf_llm.cf.store import SETTINGS_FILE, read_settings, stored
from ccf_llm.data.cuts import draw_cuts
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError, one_line

K = 10
LEARNED = {
    "objective": "lambdarank",
    "metric": "None",  # only our own, which knows of targets outside the list
    "max_bin": 63,  # faster, and as good
}
"""Beside the settings, in LightGBM's words."""
Extra = Mapping[str, NDArray[np.floating[Any]]]
"""(U, m) further columns by name, such as a language model's scores of the same candidates."""
Told = tuple[Mapping[str, NDArray[np.floating[Any]]], Candidates]
"""Lists, and (U, m) of each column that is known of them."""
Then = tuple[Candidates, Likes]
"""Lists of a moment, and the likes before it."""


def training_lists(
    dataset: Dataset,
    kind: type[Retriever],
    *,
    retriever: RetrieverConfig | None = None,
    config: RankTreesConfig | None = None,
    seed: int = 0,
    words: Words | None = None,
) -> Candidates:
    """The lists that trees learn from: cuts through the likes of train, asked of retrievers without these people.

    Args:
        dataset: with a split.
        kind: of the retriever.
        retriever: its settings.
        config: how many cuts and candidates, how far each list looks, and how many folds.
        seed: of the cuts, the folds and the retrievers.
        words: what the retrievers are told of the items beside likes.
    """
    config = config or RankTreesConfig()
    cuts = draw_cuts(dataset, each=config.cuts, horizon=config.horizon, earliest=config.earliest, seed=seed)
    likes, times = likes_matrix(dataset, "train"), like_times(dataset, "train")
    crossed = CrossFittedRetrievers.fit(
        kind, likes, times, folds=config.folds, config=retriever, seed=seed, words=words
    )
    return Candidates.of(cuts, config.candidates, crossed)


def lists_of_moments(
    then: Sequence[Dataset], retrievers: Sequence[Retriever], config: RankTreesConfig | None = None
) -> list[Then]:
    """The same of moments that all people share (`data.moments`), each asked of the retriever of what was before it."""
    config, found = config or RankTreesConfig(), []
    for dataset, retriever in zip(then, retrievers, strict=True):
        likes = Likes.of(likes_matrix(dataset, "train"), like_times(dataset, "train"), clocked=True)
        found.append((Candidates.of(targets(dataset, "valid"), config.candidates, retriever), likes))
    return found


@dataclass(frozen=True, eq=False)
class RankTrees:
    """Trees on a retriever's scores, likeness to the latest likes, popularity and words; see `RankFeatures`."""

    kind: ClassVar[str] = "rank_trees"

    config: RankTreesConfig
    features: RankFeatures
    names: tuple[str, ...]
    """(F,) the columns that the trees read, those from outside last."""
    extra: tuple[str, ...]
    """Those from outside."""
    trees: str
    """LightGBM's text form of the model."""

    @classmethod
    def fit(
        cls,
        train: Candidates | Sequence[Then],
        valid: Candidates,
        likes: Likes,
        *,
        words: ItemWords | None = None,
        extra: tuple[Extra, Extra] = ({}, {}),
        config: RankTreesConfig | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Grow trees until the NDCG@10 on `valid` stops rising; `progress` gets one line at the end.

        Args:
            train: lists of a retriever that has not seen the people, see `training_lists`; or those of several moments,
                see `lists_of_moments`, with `likes` that have a clock.
            valid: lists as they are measured, of a retriever fitted on train.
            likes: of train.
            words: of the items.
            extra: further columns of the train and of the valid lists.
            config: settings; `cuts`, `candidates` and the like are those of `training_lists`.
            seed: of the draws of rows and features.

        Raises:
            CCFError: lists without anything to be found, columns of another shape or of other names, and where LightGBM
                is missing.
        """
        config = config or RankTreesConfig()
        words = words if config.words else None
        features = RankFeatures.fit(likes, words)
        lists, columns = (
            (train, features.of(train, likes)) if isinstance(train, Candidates) else _of_moments(train, words)
        )
        for name, asked in (("train", lists), ("valid", valid)):
            if not asked.relevant.any():
                raise CCFError(f"{name}: no list holds anything that is to be found; give longer lists, or more people")
        outside = tuple(extra[0])
        learned = _with_extra(columns, lists, extra[0], outside)
        measured = _with_extra(features.of(valid), valid, extra[1], outside)
        trees, ndcg = _grow((learned, lists), (measured, valid), config, seed)
        model = cls(config, features, tuple(learned), outside, trees)
        if progress is not None:
            progress(f"{cls.kind}: {model.n_trees} trees, valid NDCG@{K} {ndcg:.4f}")
        return model

    @property
    def n_trees(self) -> int:
        """How many were grown."""
        return self.trees.count("\nTree=")

    def scores(self, candidates: Candidates, extra: Extra | None = None) -> Floats:
        """(U, m) higher is better; minus infinity where there is no item. `extra`: the columns that `fit` was given.

        Raises `CCFError` for other columns.
        """
        columns = _with_extra(self.features.of(candidates), candidates, extra or {}, self.extra)
        there = candidates.items > 0
        scores = np.full(candidates.items.shape, -np.inf, dtype=np.float32)
        if there.any():
            booster = import_lightgbm().Booster(model_str=self.trees)
            scores[there] = booster.predict(_table(columns, there))
        return scores

    def save(self, folder: Path) -> None:
        """Write `cf.json`, `trees.txt` and the features to `folder`, atomically."""
        settings = {
            "config": self.config.model_dump(mode="json"),
            "names": self.names,
            "extra": self.extra,
            "trees": trees_checksum(self.trees),
        }
        with stored(folder, self.kind, settings) as temporary:
            (temporary / TREES_FILE).write_text(self.trees, encoding="utf-8")
            self.features.save(temporary)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing or damaged."""
        settings = read_settings(folder, cls.kind)
        path = Path(folder) / SETTINGS_FILE
        try:
            config = RankTreesConfig.model_validate(settings["config"])
            names, extra, recorded = tuple(settings["names"]), tuple(settings["extra"]), settings["trees"]
        except (KeyError, TypeError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        return cls(config, RankFeatures.load(Path(folder)), names, extra, read_trees(Path(folder), recorded))


def _of_moments(then: Sequence[Then], words: ItemWords | None) -> tuple[Candidates, dict[str, Floats]]:
    """The lists of all moments, with what was known at each."""
    told = [RankFeatures.fit(likes, words).of(lists) for lists, likes in then]
    columns = {name: np.concatenate([of[name] for of in told]) for name in told[0]}
    return Candidates.joined([lists for lists, _ in then]), columns


def _grow(train: Told, valid: Told, config: RankTreesConfig, seed: int) -> tuple[str, float]:
    """LightGBM's text form of the best number of trees, and its NDCG on valid."""
    lightgbm = import_lightgbm()
    columns, lists = train
    kept = (lists.items > 0) & lists.relevant.any(axis=1, keepdims=True)
    data = lightgbm.Dataset(_table(columns, kept), lists.relevant[kept], group=kept.sum(1)[kept.any(1)])
    columns, asked = valid
    every = np.ones_like(asked.relevant)
    told = lightgbm.Dataset(_table(columns, every), asked.relevant.ravel(), group=every.sum(1), reference=data)

    def ndcg(scores: NDArray[np.float64], _: Any) -> tuple[str, float, bool]:
        return "ndcg", asked.ndcg(scores.reshape(asked.items.shape), K), True

    booster = lightgbm.train(
        tree_parameters(config, seed) | LEARNED,
        data,
        config.max_trees,
        valid_sets=[told],
        feval=ndcg,
        callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
    )
    trees = booster.model_to_string(num_iteration=booster.best_iteration)
    return trees, float(booster.best_score["valid_0"]["ndcg"])


def _with_extra(columns: dict[str, Floats], lists: Candidates, extra: Extra, names: tuple[str, ...]) -> dict[str, Any]:
    """The columns with those from outside, in the order of `names`."""
    if set(extra) != set(names):
        wrong = sorted(set(extra) ^ set(names))[0]
        raise CCFError(f"extra: column {wrong!r} is not given everywhere; give {', '.join(names) or 'none'}")
    for name in names:
        if extra[name].shape != lists.items.shape:
            raise CCFError(
                f"extra: {name!r} has shape {extra[name].shape}; give {lists.items.shape}, one per candidate"
            )
    return columns | {name: extra[name] for name in names}


def _table(columns: Mapping[str, NDArray[np.floating[Any]]], kept: NDArray[np.bool_]) -> Floats:
    """(N, F) of the candidates that are kept."""
    return np.stack([values[kept] for values in columns.values()], axis=1).astype(np.float32)
