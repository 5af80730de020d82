"""Results of a comparison on disk: for each row and seed its figures as JSON, and beside them its scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ccf_llm.cf.gbm import GBMWords
from ccf_llm.cf.rank_trees import RankTrees
from ccf_llm.cf.settings import SHARED, ModelKind
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.benchmark import GENRES, is_benchmark
from ccf_llm.data.manifest import Part
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.lists import read_lists, write_lists
from ccf_llm.experiments.config import (
    CF_METHODS,
    LATE_FUSION,
    TREES,
    TREES_WORDS,
    WITH_TREES,
    RunConfig,
    alone,
    check_config,
)
from ccf_llm.io.files import atomic_file, read_json, write_json
from ccf_llm.prompts.details import columns_of


@dataclass(frozen=True)
class ResultFolder:
    """`FOLDER/<row>/seed-N.json` for test, for valid the same with `valid-` before the name; and beside it the row's
    answers: scores as `.npy` or, of the ranking task, lists as `.parquet`."""

    path: Path
    part: Part = "test"

    def file(self, row: str, seed: int) -> Path:
        """The figures of a row; its scores lie beside them."""
        return self.path / row / f"{self._prefix}seed-{seed}.json"

    def table(self, suffix: str) -> Path:
        """The table, in one of its forms."""
        return self.path / f"{self._prefix}table{suffix}"

    def plot(self, name: str) -> Path:
        """A plot of the table."""
        return self.path / f"{self._prefix}{name}.png"

    def seeds(self, row: str) -> list[int]:
        """Seeds that there are files of, whatever is in them."""
        names = (path.stem.removeprefix(f"{self._prefix}seed-") for path in self.path.glob(f"{row}/*.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def save(
        self, result: dict[str, Any], answers: NDArray[np.float32] | pl.DataFrame, new: pl.DataFrame | None = None
    ) -> None:
        """Keep what was measured; the figures come last, so that answers without them are measured again.

        `new` are lists of new items among themselves.
        """
        path = self.file(result["method"], result["seed"])
        if new is not None:
            write_lists(new, _of_new(path))
        if isinstance(answers, pl.DataFrame):
            write_lists(answers, path.with_suffix(".parquet"))
        else:
            with atomic_file(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
                np.save(file, answers.astype(np.float32), allow_pickle=False)
        write_json(path, result)

    def load(self, row: str, seed: int) -> dict[str, Any]:
        """The figures of a row."""
        found: dict[str, Any] = read_json(self.file(row, seed))
        return found

    def scores(self, row: str, seed: int) -> NDArray[np.float32]:
        """(N,) log-odds of the rows of the part."""
        path = self.file(row, seed).with_suffix(".npy")
        try:
            scores: NDArray[np.float32] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError):
            raise CCFError(
                f"{path}: missing or damaged; delete {path.with_suffix('.json')} to measure it again"
            ) from None
        return scores

    def lists(self, row: str, seed: int) -> pl.DataFrame:
        """The lists of a row of the ranking task."""
        path = self.file(row, seed).with_suffix(".parquet")
        try:
            return read_lists(path)
        except CCFError as error:
            raise CCFError(f"{error}; delete {path.with_suffix('.json')} to measure it again") from None

    def lists_of_new(self, row: str, seed: int) -> pl.DataFrame | None:
        """The lists of new items among themselves; None of a row that has none."""
        path = _of_new(self.file(row, seed))
        return read_lists(path) if path.is_file() else None

    def is_current(self, row: str, config: RunConfig, dataset: Dataset) -> bool:
        """Whether there is a result of these settings (their seed among them) on this data and split.

        Settings that are younger than the result count as its default, so a new one makes nothing stale.
        """
        path = self.file(row, config.seed)
        if not path.is_file():
            return False
        result = read_json(path)
        try:
            if result["data"]["identity"] != dataset.identity.to_json():
                return False
            made_with = row_config(check_config(result["config"], str(path)), row)
        except (CCFError, KeyError, TypeError):  # a setting that is no more, or a result without an identity
            return False
        return made_with == row_config(config, row)

    @property
    def _prefix(self) -> str:
        return "" if self.part == "test" else f"{self.part}-"


def _of_new(path: Path) -> Path:
    return path.with_name(f"{path.stem}-new.parquet")


def comparison_rows(config: RunConfig) -> tuple[str, ...]:
    """All rows of a comparison: CF, trees, language-model methods, and what decides together with one of them."""
    trees = [TREES, TREES_WORDS] if config.ranks and config.ranking.trees else []
    fused = [row for method in config.methods for row in fusions(config, method)]
    together = [config.main + WITH_TREES] if trees else []
    return (*config.resolved.cf_rows, *trees, *config.methods, *fused, *together)


def fusions(config: RunConfig, method: str) -> dict[str, str]:
    """The rows in which a method decides together with a CF row, and with which: the text-only one with `cf.model` (the
    simple rival of reading CF), the main one with the trees that read words, where these are a row.
    """
    found = {LATE_FUSION: config.cf.model} if method == config.resolved.text_only else {}
    with_trees = method == config.main and GBMWords.kind in config.resolved.cf_rows
    return found | ({method + WITH_TREES: GBMWords.kind} if with_trees else {})


def row_config(config: RunConfig, row: str) -> dict[str, Any]:
    """The settings that decide a row's result, as a configuration of their own; nothing of this machine."""
    values = config.model_dump(mode="json", include={"seed": True, "data": True})
    if config.ranks:
        values["task"] = config.task
    values["data"]["source"] = Path(config.data.source).name
    if not (learns_categories(config, row) or _by_trees(config, row)):
        del values["data"]["categories"]
    if row in (*CF_METHODS, TREES, TREES_WORDS):
        del values["data"]["user_details"]
    if row in CF_METHODS:
        settings = _cf_settings(config, {row})
        if config.ranks:  # it needs a retriever, which may be this one
            settings["model"] = row if row in get_args(ModelKind) else "ease"
        return values | {"cf": settings}
    if row in (TREES, TREES_WORDS):
        kind = config.cf.model
        if config.ranking.moments is not None:
            values["ranking"] = config.ranking.model_dump(mode="json", include={"moments", "earliest"})
        return values | {"cf": _cf_settings(config, {kind, RankTrees.kind}) | {"model": kind}}
    method = config.resolved.text_only if row == LATE_FUSION else row.removesuffix(WITH_TREES)
    if method is None:
        raise CCFError("methods: none is trained on text alone, so there is no late fusion; add one")
    own = alone(config, method)
    kinds: set[str] = {m.cf for m in own.methods.values() if m.cf}
    if row == LATE_FUSION:
        kinds.add(config.cf.model)
    if row.endswith(WITH_TREES):
        kinds.add(RankTrees.kind if config.ranks else GBMWords.kind)
    values |= {
        "llm": own.llm.model_dump(mode="json", exclude={"device", "checkpointing", "shard"}),
        "batch": own.batch.model_dump(mode="json", exclude={"memory_mb", "batch_tokens"}),
        "methods": {name: m.model_dump(mode="json", exclude={"paper"}) for name, m in own.methods.items()},
        "stages": {name: stage.model_dump(mode="json") for name, stage in own.stages.items()},
        "cf": _cf_settings(config, kinds),
        "main": method,
    }
    if config.ranks:
        values["ranking"] = config.ranking.model_dump(mode="json", exclude={"trees"})
        values["cf"]["model"] = config.resolved[method].cf
    if row == LATE_FUSION:
        values["cf"]["model"] = config.cf.model
    values["llm"]["model"] = Path(values["llm"]["model"]).name
    if any(m.folds for m in own.methods.values()):
        values["cf"]["whole_users"] = config.cf.whole_users
    if not own.stages:  # a frozen model: what is for training decides nothing
        del values["llm"]["lora"], values["batch"]
    return values


def learns_categories(config: RunConfig, row: str) -> bool:
    """Whether a row's stages, or those that it starts from, learn to tell categories."""
    method = config.resolved.text_only if row == LATE_FUSION else row.removesuffix(WITH_TREES)
    if method not in config.methods:
        return False
    needed = config.resolved[method].needed
    return any(stage.category_weight for name in needed for _, stage in config.resolved[name].stages)


def reads_genres(config: RunConfig, row: str) -> bool:
    """Whether a row reads the genres of the published MovieLens-1M split, whose protocol reads titles alone."""
    if not is_benchmark(Path(config.data.source)) or not (
        row in (LATE_FUSION, *config.methods) or _by_trees(config, row)
    ):
        return False
    told = config.data.categories == GENRES and (learns_categories(config, row) or _by_trees(config, row))
    return told or GENRES in columns_of(config.data.details)


def _by_trees(config: RunConfig, row: str) -> bool:
    """Whether trees of the rating task decide that read all columns of the items, so also those of categories."""
    return row == GBMWords.kind or (row.endswith(WITH_TREES) and not config.ranks)


def about_data(dataset: Dataset) -> dict[str, Any]:
    """Which data and split a result is of."""
    split = dataset.split.model_dump(mode="json") if dataset.split else None
    return {"name": dataset.name, "split": split, "identity": dataset.identity.to_json()}


def _cf_settings(config: RunConfig, kinds: set[str]) -> dict[str, Any]:
    """Settings of these CF models, and of the prior that one of them takes; the mean has none."""
    names = sorted({SHARED.get(kind, kind) for kind in kinds})
    found = {name: config.cf.of(name).model_dump(mode="json") for name in names if hasattr(config.cf, name)}
    if any(config.cf.draws(kind) for kind in kinds):
        found["prior"] = config.cf.prior.model_dump(mode="json")
    return found
