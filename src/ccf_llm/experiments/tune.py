"""Search the settings of a method by what its last stage reaches on valid; what falls behind is given up early."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.check import check_run
from ccf_llm.experiments.config import RunConfig, setting_of, with_settings
from ccf_llm.experiments.folder import open_split
from ccf_llm.experiments.space import Range
from ccf_llm.experiments.train import train_methods
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.progress import Say
from ccf_llm.training.checkpoint import Progress
from ccf_llm.training.loop import Report

RANDOM_TRIALS = 5
"""Before the sampler reads what was found, and before anything is given up."""
FACTOR = 5.0
"""How far below and above the configuration's own rates are tried where it states no space."""


@dataclass(frozen=True)
class Found:
    """The best trial of a search so far."""

    value: float
    """Valid AUC or, of lists, NDCG@10."""
    settings: dict[str, Any]
    trials: int
    """That ended, given up or not."""


class _OutOfTime(Exception):  # noqa: N818  # no error: the trial goes on next time
    """The budget is spent in the middle of a trial."""


def tune(
    config: RunConfig,
    method: str,
    *,
    seconds: float,
    trials: int | None = None,
    dataset: Dataset | None = None,
    say: Say = print,
    report: Report | None = None,
) -> Found:
    """Try settings of `method` until the time is spent or there are `trials`; a search that was stopped goes on.

    The first trial is the configuration as it stands, the others come from Optuna's TPE sampler. A trial whose valid
    figure, measured in its last stage, is below the median of earlier ones at the same measurement is given up. All
    trials share one folder, `<output>/tune`: CF models and what the method starts from are made once, and a trial
    that was stopped goes on from its checkpoint. The study lies there as lines of JSON (`study.jsonl`).

    Raises:
        CCFError: an unknown method, a space that names no setting of it, or nothing was measured in the time.
    """
    begun = time.monotonic()
    if method not in config.methods:
        raise CCFError(f"--method {method}: not one of the methods {', '.join(config.methods)}")
    space = config.tune or default_space(config, method)
    start = {key: setting_of(config, key) for key in space}
    config = config.model_copy(update={"output": config.output / "tune"})
    dataset = dataset or open_split(config)
    check_run(config, dataset, [method])
    study = _study(config, method, dataset, space)
    if not study.trials:
        study.enqueue_trial({key: value for key, value in start.items() if space[key].holds(value)})
    distributions = {key: _distribution(one, start[key]) for key, one in space.items()}

    def left() -> float:
        return seconds - (time.monotonic() - begun)

    while left() > 0 and (trials is None or len(_ended(study)) < trials):
        # Seeded by the number, so that a search that was stopped goes on to the same trials.
        seed = config.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
        trial = study.ask(distributions)
        say(f"trial {trial.number}: {' '.join(as_flags(trial.params))}")
        try:
            tried = with_settings(config, trial.params)
            value = _attempt(tried, method, dataset, _watch(trial, tried, method, left, report))
        except _OutOfTime:
            say(f"trial {trial.number}: the time is spent; the same command goes on")
            break
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
            say(f"trial {trial.number}: given up")
        except CCFError as error:
            study.tell(trial, state=TrialState.FAIL)
            if trial.number == 0:  # the run as it stands, mostly: then nothing else will do
                raise
            say(f"trial {trial.number}: {error}")
        else:
            study.tell(trial, value)
            say(f"trial {trial.number}: valid {value:.4f}, best {study.best_value:.4f}")
    if not _ended(study, TrialState.COMPLETE):
        raise CCFError(f"{config.output}: no trial has ended yet; give the same command again, with more --minutes")
    best = study.best_trial
    return Found(study.best_value, best.params, len(_ended(study)))


def as_flags(settings: dict[str, Any]) -> list[str]:
    """The settings as other commands take them."""
    return [
        f"--set {key}={value:.4g}" if isinstance(value, float) else f"--set {key}={value}"
        for key, value in settings.items()
    ]


def default_space(config: RunConfig, method: str) -> dict[str, Range]:
    """The rates of what the last stage trains, its batches, and the rank of the adapter where nothing comes before."""
    resolved = config.resolved[method]
    if not resolved.stages:
        raise CCFError(f"--method {method}: has no stage, so nothing of it can be searched")
    name, stage = resolved.stages[-1]
    rates = [f"{part}_rate" for part in stage.train if part in resolved.trainable]
    space = {
        f"stages.{name}.{rate}": Range(low=getattr(stage, rate) / FACTOR, high=getattr(stage, rate) * FACTOR, log=True)
        for rate in rates
    }
    batch = stage.batch_rows
    space[f"stages.{name}.batch_rows"] = Range(choices=tuple(sorted({max(1, batch // 2), batch, batch * 2})))
    if "lora" in stage.train and resolved.start is None:
        rank = config.llm.lora.rank
        space["llm.lora.rank"] = Range(choices=tuple(sorted({max(1, rank // 2), rank, rank * 2})))
    return space


def _attempt(config: RunConfig, method: str, dataset: Dataset, report: Report) -> float:
    """Train the method, what it starts from included; the best that its last stage measured."""
    *_, trained = train_methods(config, dataset, only=[method], say=lambda line: None, report=report)
    return float(trained.curves[-1]["best"])


def _watch(trial: Trial, config: RunConfig, method: str, left: Callable[[], float], report: Report | None) -> Report:
    """Tell Optuna of each measurement in the last stage, and stop where that or the time says so."""
    last = f"{method} / {config.methods[method].stages[-1]}"

    def watch(name: str, word: str, progress: Progress, steps: int) -> None:
        if report is not None:
            report(name, word, progress, steps)
        if name == last and word == "valid":
            trial.report(progress.best, len(progress.valid) - 1)  # 0: before the first step
            if trial.should_prune():
                raise optuna.TrialPruned
        if left() < 0:
            raise _OutOfTime

    return watch


def _study(config: RunConfig, method: str, dataset: Dataset, space: dict[str, Range]) -> optuna.Study:
    """The study of this run, method, data set and space; of trials that were stopped the settings come first again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config.output.mkdir(parents=True, exist_ok=True)
    run = config.model_dump(mode="json", exclude={"output", "name", "notes", "tune"})
    asked = {key: one.model_dump(mode="json") for key, one in space.items()}
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(config.output / "study.jsonl"))),
        study_name=f"{method}-{fingerprint([run, dataset.identity.to_json(), asked])}",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS, n_warmup_steps=1),
        load_if_exists=True,
    )
    for stopped in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(stopped.number, state=TrialState.FAIL)
        study.enqueue_trial(stopped.params)
    return study


def _ended(study: optuna.Study, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
    trials: list[optuna.trial.FrozenTrial] = study.get_trials(
        deepcopy=False, states=states or (TrialState.COMPLETE, TrialState.PRUNED)
    )
    return trials


def _distribution(one: Range, start: Any) -> BaseDistribution:
    """What Optuna draws from: whole numbers where the run has one and both ends are."""
    if one.choices is not None:
        return CategoricalDistribution(one.choices)
    assert one.low is not None
    assert one.high is not None
    if one.low.is_integer() and one.high.is_integer() and isinstance(start, int):
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)
