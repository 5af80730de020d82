"""Train every method of a run. What is done is not done again; what was killed goes on."""

from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from ccf_llm.config import RunConfig, dump_config
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.files import atomic_file, read_json, write_json
from ccf_llm.model import CCFNetwork
from ccf_llm.runs.cf import CrossFitted, cf_key, fit_cf, fit_folds
from ccf_llm.runs.folder import RunFolder, fingerprint, open_split
from ccf_llm.saving import build_network, save_model
from ccf_llm.training.checkpoint import Progress
from ccf_llm.training.loop import plan_training, train_stage

Report = Callable[[str, str, Progress, int], None]
"""Told of `method / stage`, what happened (`step` or `valid`), the progress, and the number of steps."""


def train_run(
    config: RunConfig,
    *,
    only: str | None = None,
    dataset: Dataset | None = None,
    say: Callable[[str], None] = print,
    report: Report | None = None,
) -> RunFolder:
    """Fit the CF models, then train every method (or `only` one and what it starts from) and save each.

    Args:
        config: the run; its `output` folder is made, or taken up again.
        only: one method of the configuration.
        dataset: data with a split; None opens what the configuration names.
        say: gets a line for each finished part.
        report: gets every step, for progress bars.

    Raises:
        CCFError: bad input, named in one line.
    """
    if only is not None and only not in config.methods:
        raise CCFError(f"--only {only}: not one of the methods {', '.join(config.methods)}")
    folder = RunFolder(config.output)
    dataset = dataset or open_split(config)
    with atomic_file(folder.config) as temporary:
        temporary.write_text(dump_config(config), encoding="utf-8")
    cf = fit_cf(folder, dataset, config.cf, config.seed, say)
    network = build_network(
        dataset.items,
        cf,
        llm=config.llm,
        prompt=config.prompt,
        fusion=config.fusion,
        details=config.data.details,
        seed=config.seed,
    )
    train = dataset.rows("train")
    sequences = plan_training(network, train, config.batch)
    crossed = fit_folds(folder, dataset, config.cf, config.seed, cf, sequences, say)
    if crossed is not None:
        for model in crossed.models:
            model.to(network.device)

    states: dict[str | None, dict[str, Tensor]] = {None: _copy_state(network)}
    keys: dict[str | None, str] = {None: _start_key(config, dataset, network)}
    for method in config.methods if only is None else config.needed_for(only):
        start = config.methods[method].start
        _set_state(network, states[start])
        network.set_fusion(config.fusion_of(method), config.seed)
        keys[method] = _train_method(config, folder, dataset, network, method, keys[start], crossed, report)
        states[method] = _copy_state(network)
        save_model(
            network, dataset.user_vocabulary, dataset.items, config.model_dump(mode="json"), folder.model(method)
        )
        say(f"{method} saved in {folder.model(method)}")
    return folder


def _train_method(
    config: RunConfig,
    folder: RunFolder,
    dataset: Dataset,
    network: CCFNetwork,
    method: str,
    start_key: str,
    crossed: CrossFitted | None,
    report: Report | None,
) -> str:
    """All stages of a method; returns the fingerprint of its result."""
    key = fingerprint([start_key, config.fusion_of(method).model_dump()])
    for name in config.methods[method].stages:
        stage = config.stages[name]
        key = fingerprint([key, stage.model_dump(mode="json")])
        # Where the CF model itself is trained, it must be the one that is read.
        folds = None if "cf" in stage.train else crossed
        progress = train_stage(
            network,
            dataset.rows("train"),
            dataset.rows("valid"),
            stage,
            batch=config.batch,
            seed=config.seed,
            checkpoint=folder.checkpoint(method, name),
            key=key,
            cf_of_row=folds.of_row if folds else None,
            report=_named(report, f"{method} / {name}"),
        )
        _record(folder, method, name, progress)
    return key


def _named(report: Report | None, name: str) -> Callable[[str, Progress, int], None] | None:
    if report is None:
        return None
    return lambda word, progress, steps: report(name, word, progress, steps)


def _record(folder: RunFolder, method: str, stage: str, progress: Progress) -> None:
    """Put the stage's curves into training.json."""
    curves = read_json(folder.training) if folder.training.exists() else []
    curves = [c for c in curves if (c["method"], c["stage"]) != (method, stage)]
    write_json(folder.training, [*curves, {"method": method, "stage": stage, **asdict(progress)}])


def _start_key(config: RunConfig, dataset: Dataset, network: CCFNetwork) -> str:
    """Everything outside the stages that decides a result."""
    return fingerprint(
        {
            "cf": cf_key(config.cf.model, dataset, config.cf, config.seed),
            "folds": [config.cf.folds, config.cf.whole_users],
            "model": network.llm.source.checksum,
            "dtype": str(network.llm.dtype),
            "lora": config.llm.lora.model_dump(),
            "prompt": config.prompt.model_dump(),
            "batch": config.batch.model_dump(),
            "items": dataset.items.select("item_id", "title", *config.data.details).to_dicts(),
            "seed": config.seed,
        }
    )


def _copy_state(network: CCFNetwork) -> dict[str, Tensor]:
    """What one method hands to the next: adapter and CF model. The fusion is always begun anew."""
    return {name: weight.detach().clone() for name, weight in _state(network).items()}


@torch.no_grad()
def _set_state(network: CCFNetwork, values: dict[str, Tensor]) -> None:
    for name, weight in _state(network).items():
        weight.copy_(values[name])


def _state(network: CCFNetwork) -> dict[str, Tensor]:
    return {**network.part("lora"), **network.part("cf")}
