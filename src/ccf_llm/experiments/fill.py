"""Train and measure what is missing of a comparison: its rows of one seed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ccf_llm.cf.kinds import VECTORS, load_cf
from ccf_llm.cf.scorer import Scorer
from ccf_llm.data.dataset import Dataset
from ccf_llm.experiments.cf import fit_cf, read_cost
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import CF_METHODS, TREES, TREES_WORDS, RunConfig
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.results import ResultFolder, about_data, row_config
from ccf_llm.experiments.train import Effort, Trained, train_methods
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.progress import Advance, Say
from ccf_llm.scoring import PrefixFiles, SharedPrefixScorer
from ccf_llm.training.loop import Report


class Filler(ABC):
    """Rows over one adapter share the histories that hold no slot. What is measured of a row is a task's."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        store: ResultFolder,
        prefixes: PrefixFiles,
        say: Say,
        report: Report | None,
        scoring: Advance | None,
    ) -> None:
        self.config, self.dataset, self.store, self.prefixes = config, dataset, store, prefixes
        self.say, self.report, self.scoring = say, report, scoring
        self.folder = RunFolder(config.output)
        self.trained = TrainedOn.of(dataset)

    def fill(self, missing: list[str]) -> None:
        """All rows in `missing`: CF first, then further ones, then methods in training order."""
        self.trained.save(self.folder.data)
        cf = [row for row in missing if row in CF_METHODS]
        self.fit([*cf, *self.needed_cf(missing)])
        for row in cf:
            with measured() as cost:
                model = load_cf(self.folder.cf(row))
                answers, figures = self.measure_cf(row, model)
            new = self.of_new(row, model)
            fit, parameters = read_cost(self.folder.cf(row)), getattr(model, "parameters", None)
            trained = {"cf": sum(weight.numel() for weight in parameters())} if parameters else {}
            effort = Effort({row: fit.seconds}, trained, {row: fit.peak_mb})
            self.keep(row, row if row in VECTORS else None, answers, figures, effort, cost, new=new)
        self.fill_further(missing)
        if wanted := self.wanted_methods(missing):
            for method in train_methods(self.config, self.dataset, only=wanted, say=self.say, report=self.report):
                self.finish(method, missing)

    @abstractmethod
    def measure_cf(self, row: str, model: Scorer) -> tuple[Any, dict[str, Any]]:
        """What the store keeps of a CF row's answers, and its figures."""

    def of_new(self, row: str, model: Scorer) -> Any:
        """What the store keeps of a CF row's answers about new items alone; None where there is nothing of the kind."""
        return None

    @abstractmethod
    def headline(self, figures: dict[str, Any]) -> str:
        """The figures of a row that are said once they are kept."""

    @abstractmethod
    def needed_cf(self, missing: list[str]) -> list[str]:
        """CF models that other rows than their own need."""

    @abstractmethod
    def wanted_methods(self, missing: list[str]) -> set[str]:
        """The methods that have to be trained."""

    @abstractmethod
    def finish(self, method: Trained, missing: list[str]) -> None:
        """Keep all rows that come with a trained method."""

    @abstractmethod
    def fill_further(self, missing: list[str]) -> None:
        """Keep the rows that are neither CF nor come with a method."""

    def fit(self, kinds: list[str]) -> None:
        """Fit CF models, but those that are there."""
        fit_cf(self.folder, self.dataset, kinds, self.config, self.say)

    def scorer(self, method: Trained) -> SharedPrefixScorer:
        """What scores with a trained method."""
        return SharedPrefixScorer(method.network, memory_mb=self.config.batch.memory_mb, cache=self.prefixes)

    @contextmanager
    def scoring_cost(self) -> Iterator[Cost]:
        """As if no other row had read the same histories before: a row's cost does not depend on their order."""
        saved = self.prefixes.saved_seconds
        with measured() as cost:
            yield cost
        cost.seconds = round(cost.seconds + self.prefixes.saved_seconds - saved, 2)

    def keep(
        self,
        row: str,
        cf: str | None,
        answers: Any,
        figures: dict[str, Any],
        effort: Effort,
        scoring: Cost,
        more: dict[str, Any] | None = None,
        new: Any = None,
    ) -> None:
        """Write the result of a row, with `more` that is known of one with a language model, and its lists of new
        items among themselves.
        """
        config = self.config
        result = {
            "method": row,
            "cf": cf,
            "llm": None if row in (*CF_METHODS, TREES, TREES_WORDS) else Path(config.llm.model).name,
            "seed": config.seed,
            "part": self.store.part,
            **figures,
            "trainable": sum(effort.trained.values()),
            "trained": effort.trained,
            "train_seconds": round(sum(effort.seconds.values()), 1),
            "seconds": effort.seconds,
            "score_seconds": scoring.seconds,
            "peak_mb": max([scoring.peak_mb, *effort.peaks_mb.values()]),
            "curves": [],
            **(more or {}),
            "data": about_data(self.dataset),
            "config": row_config(config, row),
            "made": circumstances(),
        }
        self.store.save(result, answers, new)
        self.say(f"{row}, seed {config.seed}: {self.headline(figures)}")
