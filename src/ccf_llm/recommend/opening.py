"""A recommender from the folder of a trained run."""

from pathlib import Path

import polars as pl

from ccf_llm.data.importers.columns import read_table
from ccf_llm.errors import CCFError
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.recommend.recommender import Recommender


def open_recommender(
    run: Path, retrieve: int = 100, text_share: float | None = None, new_items: Path | None = None
) -> Recommender:
    """The run's main model over its data set and, where a table of them is given, over items that came after training.

    Raises `CCFError` where the run or the table cannot be read, and what `Recommender` and `CCFLLM.with_items` say.
    """
    folder = RunFolder(run)
    config = folder.load_config()
    further: pl.DataFrame | None = None if new_items is None else read_table(new_items)
    model, dataset = CCFLLM.load(folder.model(config.main)), open_split(config)
    if further is not None:
        try:
            model = model.with_items(further)
        except CCFError as error:
            raise CCFError(f"{new_items}: {error}") from None
    return Recommender(model, dataset, retrieve, text_share=text_share)
