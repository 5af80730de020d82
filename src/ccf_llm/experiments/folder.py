"""Where a run keeps what."""

from dataclasses import dataclass, replace
from pathlib import Path

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers.benchmark import GENRES, add_genres, is_benchmark
from ccf_llm.data.named import open_dataset
from ccf_llm.data.split import split_dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig, load_config
from ccf_llm.prompts.details import columns_of


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    def model(self, method: str) -> Path:
        """A trained method."""
        return self.path / "models" / method

    def before(self, method: str) -> Path:
        """The model that an update took the place of."""
        return self.path / "before" / method

    def checkpoint(self, method: str, stage: str) -> Path:
        """A stage's checkpoint."""
        return self.path / "checkpoints" / f"{method}-{stage}"

    def cf(self, name: str) -> Path:
        """A fitted CF model."""
        return self.path / "cf" / name

    @property
    def data(self) -> Path:
        """What the run was trained on."""
        return self.path / "data"

    @property
    def prefixes(self) -> Path:
        """Histories that rows of a comparison share, while they are scored; each process has its own (`own_folder`)."""
        return self.path / "prefixes"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def training(self) -> Path:
        """Curves and times of all stages."""
        return self.path / "training.json"

    @property
    def metrics(self) -> Path:
        """Figures of all methods."""
        return self.path / "metrics.json"

    @property
    def update(self) -> Path:
        """Figures before and after the last update."""
        return self.path / "update.json"

    @property
    def lists(self) -> Path:
        """The lists that the figures of the ranking task come from."""
        return self.path / "lists.parquet"

    @property
    def recommendations(self) -> Path:
        """Recommendations that the report shows."""
        return self.path / "recommendations.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.path / "report.html"

    def load_config(self) -> RunConfig:
        """The configuration that the run was made with; a `CCFError` where this is no run."""
        if not self.config.is_file():
            raise CCFError(f"{self.path}: not the folder of a run (no config.yaml); make one with ccf-llm train CONFIG")
        return load_config(self.config)


def model_folder(path: Path) -> Path:
    """`path` itself where it is a model, else the main model of the run in it."""
    if (path / "config.json").is_file():
        return path
    run = RunFolder(path)
    return run.model(run.load_config().main)


def open_split(config: RunConfig) -> Dataset:
    """The run's data set with its split: the source's own where it has one, else by `split_dataset`.

    Of the published MovieLens-1M split genres are read where the configuration names them.
    """
    data = config.data
    dataset = open_dataset(data.source)
    if GENRES in (*columns_of(data.details), data.categories) and is_benchmark(Path(data.source)):
        dataset = add_genres(dataset, Path(data.source))
    if "split" in dataset.interactions.columns:
        return dataset
    split = config.data.split
    parts = split_dataset(
        dataset,
        None if split.by == "last" else split.train,
        split.valid,
        by=split.by,
        max_rows_per_user=split.max_rows_per_user,
        seed=split.seed,
        new_items=split.new_items,
        new_items_by=split.new_items_by,
    )
    return replace(parts, source=dataset.source)  # with the settings, the source gives the split again
