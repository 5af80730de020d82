"""What can be known to fail is refused before anything is fitted: a CF model takes minutes, a method hours."""

import os
from collections.abc import Collection
from pathlib import Path

from ccf_llm.cf.checks import check_labels
from ccf_llm.cf.gbm import GBM, GBMWords, import_lightgbm
from ccf_llm.cf.settings import LinearConfig
from ccf_llm.data.categories import categories_of
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import targets
from ccf_llm.data.manifest import Part
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import LATE_FUSION, TREES, TREES_WORDS, WITH_TREES, RunConfig
from ccf_llm.experiments.methods import Method
from ccf_llm.llm.base import base_config
from ccf_llm.llm.quantized import import_torchao
from ccf_llm.llm.runtime import choose_device
from ccf_llm.llm.source import resolve_model
from ccf_llm.prompts.details import columns_of
from ccf_llm.prompts.shots import draw_shots
from ccf_llm.prompts.users import check_users_told


def check_run(config: RunConfig, dataset: Dataset, rows: Collection[str], *, measured: Collection[Part] = ()) -> None:
    """Check that rows of a comparison can be fitted on a data set, here and with these settings.

    Args:
        config: the run.
        dataset: with a split.
        rows: CF rows, methods and late fusion that are to be fitted.
        measured: the parts that figures are made of afterwards.

    Raises:
        CCFError: the first thing that is missing, by its setting.
    """
    parts: tuple[Part, ...] = ("train", "valid", *measured)
    for part in dict.fromkeys(parts):
        if not config.ranks:
            check_labels(dataset.rows(part), f"data set {dataset.name!r}: {part}")
        elif part != "train":
            targets(dataset, part)
    _check_folder(config.output)
    _check_times(config, dataset)
    if any(row in (GBM.name, GBMWords.name, TREES, TREES_WORDS) or row.endswith(WITH_TREES) for row in rows):
        import_lightgbm()
    text = config.resolved.text_only
    named = {row.removesuffix(WITH_TREES) for row in (*rows, *([text] if text and LATE_FUSION in rows else []))}
    named &= set(config.methods)
    needed = {other for name in named for other in config.resolved[name].needed}
    if needed:
        _check_details(config, dataset)
        choose_device(config.llm.device)
        if config.llm.quantize is not None:
            import_torchao()
        _check_prompts(config, dataset, [method for method in config.resolved if method.name in needed])


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CCFError(f"output: cannot make {folder} ({error.strerror or error}); name another folder") from None
    if not os.access(folder, os.W_OK):
        raise CCFError(f"output: {folder} cannot be written; name another folder")


def _check_times(config: RunConfig, dataset: Dataset) -> None:
    if dataset.reading.timed:
        return
    for kind, settings in config.cf:
        if isinstance(settings, LinearConfig) and settings.half_life is not None:
            raise CCFError(
                f"cf.{kind}.half_life: data set {dataset.name!r} has no times, so nobody knows which likes are recent; "
                "leave it out"
            )


def _check_details(config: RunConfig, dataset: Dataset) -> None:
    for column in columns_of(config.data.details):
        if column not in dataset.items.columns:
            there = ", ".join(name for name in dataset.items.columns if name not in ("item_id", "title"))
            raise CCFError(f"data.details: items have no column '{column}'; they have {there or 'titles alone'}")
    check_users_told(dataset.users, config.data.user_details)
    if config.data.categories is not None:
        categories_of(dataset.items, config.data.categories)


def _check_prompts(config: RunConfig, dataset: Dataset, methods: list[Method]) -> None:
    """That the base model is there and has so many layers, and that the methods' prompts can be made for it."""
    source = resolve_model(config.llm.model)
    measured = Rows.concat([dataset.rows("valid"), dataset.rows("test")])
    for method in methods:
        prompt = method.prompt
        context = getattr(base_config(source, method.layers), "max_position_embeddings", None)
        if context is not None and prompt.history.tokens >= context:
            raise CCFError(
                f"prompt.history.tokens: {prompt.history.tokens} of {method.name} does not fit the context of "
                f"{config.llm.model}, {context} tokens; lower it"
            )
        if prompt.template.shots:
            draw_shots(dataset.rows("train"), measured, prompt.template.shots, config.seed)
