"""The loop that both searches share: trials chosen on valid AUC alone, every one kept, resumed where it was."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import read_json, write_json

RANDOM_TRIALS = 6
Settings = dict[str, Any]


def run_trials(
    file: Path,
    start: Settings,
    space: dict[str, BaseDistribution],
    attempt: Callable[[Settings], dict[str, Any]],
    about: dict[str, Any],
    *,
    trials: int,
    seconds: float = float("inf"),
) -> None:
    """Run trials until there are `trials`, or no more than `seconds` have passed; write each as it ends.

    Trial 0 is `start`, the others come from Optuna's TPE sampler, seeded by the trial's number, so that a search that
    was stopped goes on to the same trials. `attempt` gives `{"valid": {"auc": ...}, ...}`; `about` stands before them.
    """
    begun = time.monotonic()
    kept: list[dict[str, Any]] = read_json(file)["trials"] if file.exists() else []
    while len(kept) < trials and time.monotonic() - begun < seconds:
        settings = start if not kept else _suggest(space, kept)
        kept.append({"number": len(kept), "settings": settings} | attempt(settings))
        best = max(kept, key=lambda trial: trial["valid"]["auc"])
        write_json(file, about | {"best": best["number"], "trials": kept, "made": circumstances()})
        print(f"{file.stem} {kept[-1]}", flush=True)


def _suggest(space: dict[str, BaseDistribution], kept: list[dict[str, Any]]) -> Settings:
    """The next trial's settings, given all before it."""
    sampler = optuna.samplers.TPESampler(seed=len(kept), n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in kept[1:]:  # the start was not the sampler's choice
        done = optuna.trial.create_trial(params=trial["settings"], distributions=space, value=trial["valid"]["auc"])
        study.add_trial(done)
    return study.ask(space).params
