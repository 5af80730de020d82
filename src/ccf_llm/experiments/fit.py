"""`ccf_llm.fit`: from a data set to a trained model, in one call."""

import tempfile
from dataclasses import replace
from pathlib import Path

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import DataConfig, RunConfig
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.train import train_run
from ccf_llm.io.progress import Say
from ccf_llm.model.build import describing_columns
from ccf_llm.model.ccfllm import CCFLLM


def fit(dataset: Dataset, config: RunConfig | None = None, *, say: Say = print) -> CCFLLM:
    """Train the configuration's main method on a data set that has a split.

    Everything is kept in `config.output`, so that a killed call goes on; without a config, in a temporary folder, with
    the default settings and the words of the items' genres, categories or tags.

    Raises:
        CCFError: the data set has no split, or something is missing that the configuration asks for.

    Examples:
        >>> model = fit(global_time_split(open_dataset("ml-100k")))    # doctest: +SKIP
    """
    if "split" not in dataset.interactions.columns:
        raise CCFError("dataset: has no split; make one with split_dataset(dataset)")
    if config is not None:
        if dataset.source is None:  # a program made it, or its split: what is kept of the run should find it again
            dataset.save(config.output / "dataset")
            dataset = replace(dataset, source=str(config.output / "dataset"))
        config = config.model_copy(update={"data": config.data.model_copy(update={"source": dataset.source})})
        train_run(config, only=config.main, dataset=dataset, say=say)
        return CCFLLM.load(RunFolder(config.output).model(config.main))
    with tempfile.TemporaryDirectory(prefix="ccf-llm-") as folder:
        data = DataConfig(source=dataset.source or dataset.name, details=describing_columns(dataset.items))
        train_run(RunConfig(output=Path(folder), data=data), only=RunConfig().main, dataset=dataset, say=say)
        return CCFLLM.load(RunFolder(Path(folder)).model(RunConfig().main))
