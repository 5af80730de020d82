"""The rows of a comparison, kept up: each is told of what was liked until the moment at which test asks.

    python benchmarks/kept_up.py configs/ranking-ifdb.yaml --set data.source=DATA --seeds 0 1 2 \
      --results benchmarks/ifdb/time --out benchmarks/ifdb/kept-up

For data that are split by one time for all, after `ccf-llm compare` has trained the language models (in the
configuration's `output`). There test asks a tenth of all rows after what a model was fitted on; a shop would not let it
stand so long. Here the valid rows are train rows too, and what `ccf-llm update` renews is new: retrievers are fitted
again, trees get the counts and the clock of now, a language model reads the new vectors. What was learned stays:
adapters, fusion, weights, trees. Nothing is chosen here.

FOLDER/<row>/seed-N.parquet holds the lists (`benchmarks/paired.py` compares them), FOLDER/figures.json what they come
to. The weights of a language model with the trees are those that the comparison has in `--results`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from ccf_llm.cf.candidates import Candidates
from ccf_llm.cf.rank_features import Likes, RankFeatures
from ccf_llm.cf.rank_trees import RankTrees
from ccf_llm.cf.vectors import RetrieverVectors
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix
from ccf_llm.data.moments import split_at
from ccf_llm.data.rows import Floats
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.lists import read_lists, write_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.experiments.cf import fit_told
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import TREES, TREES_WORDS, WITH_TREES, RunConfig, load_config
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.lists import retriever_of
from ccf_llm.experiments.ranked import Asked, model_scores, reranked_lists, retriever_lists, weighted
from ccf_llm.experiments.trees import TreeRows
from ccf_llm.experiments.words import item_words
from ccf_llm.io.files import read_json, write_json
from ccf_llm.model.ccfllm import CCFLLM


def until_test(dataset: Dataset) -> Dataset:
    """The data set with its valid rows in train."""
    if dataset.split is None or not dataset.split.cut_times:
        raise CCFError(f"data set {dataset.name!r} is not split by one time for all; set data.split.by: global")
    test, last = dataset.split.cut_times["test"], int(dataset.interactions["timestamp"].to_numpy().max())
    return split_at(dataset, [test, test, last + 1])


class KeptUp:
    """The rows of one seed."""

    def __init__(self, config: RunConfig, results: Path | None) -> None:
        self.config, self.results = config, results
        self.folder, self.dataset = RunFolder(config.output), open_split(config)
        self.later = until_test(self.dataset)
        self.asked = Asked.of(self.later, "test")
        self._scores: dict[str, tuple[Floats, Floats, Floats]] = {}

    def lists(self, row: str) -> pl.DataFrame:
        """Of a row by its name."""
        if row in self.config.resolved.cf_rows:
            return retriever_lists(row, retriever_of(self.fitted(row)), self.asked, self.config.seed)
        if row in (TREES, TREES_WORDS):
            return self.reranked(row, self.trees(words=row == TREES_WORDS).scores(self.candidates))
        if not row.endswith(WITH_TREES):
            return self.reranked(row, self.model(row)[0])
        if self.results is None:
            raise CCFError(f"{row}: its weights are read from a comparison; give --results")
        weights = read_json(self.results / row / f"seed-{self.config.seed}.json")["weights"]
        _, llm, retriever = self.model(row.removesuffix(WITH_TREES))
        parts = (llm, retriever, self.trees(words=True).scores(self.candidates))
        return self.reranked(row, weighted(parts, self.candidates, np.array(weights)))

    def reranked(self, row: str, scores: Floats) -> pl.DataFrame:
        """The retriever's best by these scores (U, m)."""
        scores = np.where(self.candidates.items > 0, scores, np.nan)
        return reranked_lists(row, self.candidates, scores, self.asked, self.config.seed)

    def fitted(self, kind: str) -> RetrieverVectors:
        """A retriever of all that was liked until test asks."""
        model = fit_told(kind, self.later, self.later.rows("train"), self.config)
        assert isinstance(model, RetrieverVectors)  # the ranking task names no other kind
        return model

    @cached_property
    def retriever(self) -> RetrieverVectors:
        """The run's own."""
        return self.fitted(self.config.cf.model)

    @cached_property
    def candidates(self) -> Candidates:
        """Its best."""
        return Candidates.of(self.asked.targets, self.config.ranking.depth, self.retriever.retriever)

    @cached_property
    def grown(self) -> TreeRows:
        """The trees as they were grown."""
        return TreeRows.of_run(self.config, self.folder, self.dataset, print)

    def trees(self, *, words: bool) -> RankTrees:
        """The trees, with the counts and the clock of now."""
        clocked = self.config.ranking.moments is not None
        likes = Likes.of(likes_matrix(self.later, "train"), like_times(self.later, "train"), clocked=clocked)
        features = RankFeatures.fit(likes, item_words(self.later) if words else None)
        return replace(self.grown.fitted(words=words)[0], features=features)

    def model(self, method: str) -> tuple[Floats, Floats, Floats]:
        """(U, m) scores of a language model, and its parts, over the new retriever."""
        if method not in self._scores:
            before = CCFLLM.load(self.folder.model(method), device=self.config.llm.device)
            scorer = before.refreshed(self.later, self.retriever).scorer
            self._scores[method] = model_scores(scorer, self.candidates)
        return self._scores[method]


def rows_of(config: RunConfig, results: Path | None) -> Iterator[str]:
    """What there is to be measured."""
    yield from config.resolved.cf_rows
    yield from (TREES, TREES_WORDS) if config.ranking.trees else ()
    yield from config.methods
    if results is not None:
        yield config.main + WITH_TREES


def main() -> None:
    """Measure all rows of all seeds; lists that are there are not made again."""
    parser = argparse.ArgumentParser(description="The rows of a comparison, told of all likes until test asks.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], help="A setting, such as data.source.")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--only", action="append", help="A row; all without it.")
    parser.add_argument("--results", type=Path, help="Of the comparison.")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = []
    for seed in arguments.seeds:
        config = load_config(arguments.config, arguments.set)
        config = config.model_copy(update={"seed": seed, "output": config.output / f"seed-{seed}"})
        rows = KeptUp(config, arguments.results)
        for row in arguments.only or rows_of(config, arguments.results):
            path = arguments.out / row / f"seed-{seed}.parquet"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_lists(rows.lists(row), path)
            found.append(read_lists(path))
            print(f"{row}, seed {seed}: {evaluate_lists(found[-1], draws=1)['models'][row]['ndcg@10']:.4f}", flush=True)
    keys = {"ndcg@10", "ndcg@10_ci", "recall@10", "seeds", "users"}
    figures = evaluate_lists(pl.concat(found))["models"]
    models = {
        row: {key: value for key, value in of.items() if key in keys}
        | {"ahead of": {other: [than["ndcg@10"], *than["ndcg@10_ci"]] for other, than in of["diff"].items()}}
        for row, of in figures.items()
    }
    told = {"config": str(arguments.config), "set": [s for s in arguments.set if not s.startswith(("data.so", "outp"))]}
    write_json(arguments.out / "figures.json", {**told, "models": models, "made": circumstances()})


if __name__ == "__main__":
    main()
