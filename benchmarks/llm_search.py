"""The same small search for every stage of the language-model rows: chosen on valid AUC alone, every trial kept.

    python benchmarks/llm_search.py configs/ml-1m.yaml tallrec --set data.source=FOLDER --out benchmarks/ml-1m/llm

It searches the last stage of the row: `rate`, which multiplies all learning rates of the stage, and `batch_rows`.
Trial 0 is the stage as the configuration has it, the others come from Optuna's TPE sampler, seeded by the trial's
number, so that a search that was stopped goes on to the same trials: give the same command again. Each trial trains
on `--rows` rows with seed 0 and is measured as training measures, on the stage's `valid_rows`. Test rows are never
read. Needs the extra `search`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from trials import run_trials

from ccf_llm.experiments.config import RunConfig, load_config
from ccf_llm.experiments.folder import open_split
from ccf_llm.experiments.train import train_methods

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(0.2, 5.0, log=True),
    "batch_rows": CategoricalDistribution((8, 16, 32)),
}


def search(config: RunConfig, method: str, trials: int, rows: int, folder: Path) -> None:
    """Run trials until there are `trials`; write each as it ends."""
    stage = config.methods[method].stages[-1]
    about = {
        "stage": stage,
        "method": method,
        "base": config.stages[stage].model_dump(mode="json"),
        "rows": rows,
        "chosen by": "valid AUC at the end of the stage",
    }
    run_trials(
        folder / f"search-{stage}.json",
        {"rate": 1.0, "batch_rows": config.stages[stage].batch_rows},
        SPACE,
        lambda settings: attempt(config, method, stage, settings, rows),
        about,
        trials=trials,
    )


def attempt(config: RunConfig, method: str, stage: str, settings: dict[str, Any], rows: int) -> dict[str, Any]:
    """Train the method once, what it starts from included, and read what training measured last."""
    started = time.monotonic()
    own = config.stages[stage]
    rates = {f"{part}_rate": settings["rate"] * getattr(own, f"{part}_rate") for part in own.train}
    tried = own.model_copy(update={"rows": rows, "batch_rows": settings["batch_rows"], **rates})
    # The same method under a stage of its own, so that what it starts from keeps the stage as it is configured.
    trial = config.methods[method].model_copy(update={"stages": ("trial",)})
    run = config.model_copy(
        update={"stages": {**config.stages, "trial": tried}, "methods": {**config.methods, method: trial}}
    )
    *_, trained = train_methods(run, open_split(run), only=[method], say=lambda line: None)
    last = trained.curves[-1]["valid"][-1]
    return {
        "valid": {"auc": last["auc"], "uauc": last["uauc"], "llm_auc": last["llm_auc"]},
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="a run's file")
    parser.add_argument("method", help="the row whose last stage is searched")
    parser.add_argument("--set", action="append", dest="overrides", help="as of ccf-llm train")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--out", type=Path, required=True, help="folder of search-STAGE.json")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search(
        load_config(arguments.config, arguments.overrides),
        arguments.method,
        arguments.trials,
        arguments.rows,
        arguments.out,
    )
