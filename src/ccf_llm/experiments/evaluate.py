"""Measure every method of a run."""

from typing import Any

from ccf_llm.data.manifest import Part
from ccf_llm.errors import CCFError
from ccf_llm.experiments.evaluate_ranking import evaluate_ranking
from ccf_llm.experiments.evaluate_rating import evaluate_rating
from ccf_llm.experiments.figures import keep_figures
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.io.progress import Advance, Say


def evaluate_run(
    folder: RunFolder, *, part: Part = "test", say: Say = print, scoring: Advance | None = None
) -> dict[str, Any]:
    """Measure the run's CF models and every trained method on `part`, and write `metrics.json`.

    In the rating task by the scores of labelled rows, in the ranking task by ranked lists; those of test are written
    beside each saved model too. `say` gets a line for each thing that is fitted for the comparison alone, `scoring`
    every scored batch.

    Raises:
        CCFError: the folder is no run, its training is not finished, or the data set is another one by now.
    """
    config = folder.load_config()
    for method in config.methods:
        if not (folder.model(method) / "config.json").is_file():
            raise CCFError(f"{folder.model(method)}: {method} is not trained yet; run ccf-llm train again, it goes on")
    dataset = open_split(config)
    if config.ranks:
        metrics = evaluate_ranking(folder, config, dataset, part, say, scoring)
    else:
        metrics = evaluate_rating(folder, config, dataset, part, scoring)
    for method in config.methods if part == "test" else ():
        keep_figures(folder.model(method), method, metrics)
    return metrics
