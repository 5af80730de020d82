"""The CF models of a run: fitted once, on all training rows, and cross-fitted for the language model's training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.cross_fit import assign_folds, cross_fit
from ccf_llm.cf.load import FITTED, MODELS
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.scorer import Scorer
from ccf_llm.config import CFSettings
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.files import read_json, write_json
from ccf_llm.prompts import Sequence
from ccf_llm.runs.folder import RunFolder, fingerprint

Say = Callable[[str], None]


@dataclass(frozen=True)
class CrossFitted:
    """CF models by fold, and the fold of each training row."""

    models: list[CFModel]
    folds: NDArray[np.int64]

    def of_row(self, row: int) -> CFModel:
        """The model that has not seen the row."""
        return self.models[int(self.folds[row])]


def fit_row(method: str, dataset: Dataset, train: Rows, settings: CFSettings, seed: int) -> Scorer:
    """Fit the CF row `method` of the comparison on `train`, which may be a part of the data set's train rows."""
    n_users, n_items = len(dataset.user_vocabulary), len(dataset.item_vocabulary)
    if method == ItemUserMean.name:
        return ItemUserMean.fit(train, n_users=n_users, n_items=n_items)
    fitted: Any = FITTED[method]  # each takes its own settings
    model: Scorer = fitted.fit(
        train, dataset.rows("valid"), n_users=n_users, n_items=n_items, config=settings.of(method), seed=seed
    )
    return model


def fit_cf(folder: RunFolder, dataset: Dataset, settings: CFSettings, seed: int, say: Say) -> CFModel:
    """Fit all CF rows on all training rows, but those that the run's folder has already; returns the slots' model."""
    train = dataset.rows("train")
    for method in settings.rows:
        path, key = folder.cf(method), cf_key(method, dataset, settings, seed)
        if not _is_current(path, key):
            say(f"{method}: fitting on {len(train):,} rows")
            _keep(path, key, fit_row(method, dataset, train, settings, seed))
    return MODELS[settings.model].load(folder.cf(settings.model))


def fit_folds(
    folder: RunFolder,
    dataset: Dataset,
    settings: CFSettings,
    seed: int,
    reference: CFModel,
    sequences: list[Sequence],
    say: Say,
) -> CrossFitted | None:
    """Cross-fitted models for the packs of training rows; None where the settings ask for no folds.

    `reference` is the model fitted on all rows, in whose space the folds' models are shown.
    """
    if settings.folds == 0:
        return None
    train = dataset.rows("train")
    packs = [sequence.rows for sequence in sequences]
    folds = assign_folds(packs, train, folds=settings.folds, whole_users=settings.whole_users, seed=seed)
    key = fingerprint([cf_key(settings.model, dataset, settings, seed), folds.tolist()])
    paths = [folder.cf(f"{settings.model}-fold-{k}") for k in range(settings.folds)]

    def fit(rows: Rows) -> CFModel:
        say(f"{settings.model}: cross-fitting on {len(rows):,} rows")
        model = fit_row(settings.model, dataset, rows, settings, seed)
        assert isinstance(model, CFModel)
        return model

    if not all(_is_current(path, key) for path in paths):
        for path, model in zip(paths, cross_fit(reference, train, folds, fit), strict=True):
            _keep(path, key, model)
    models = [MODELS[settings.model].load(path) for path in paths]
    return CrossFitted([model.requires_grad_(False) for model in models], folds)


def cf_key(method: str, dataset: Dataset, settings: CFSettings, seed: int) -> str:
    """What decides the CF row `method`: data, split, its own settings and the seed."""
    parts = (
        {name: record.sha256 for name, record in dataset.split.parts.items()} if dataset.split else dataset.describe()
    )
    own = None if method == ItemUserMean.name else settings.of(method).model_dump(mode="json")
    return fingerprint({"data": parts, "method": method, "settings": own, "seed": seed})


def _keep(path: Path, key: str, model: Scorer) -> None:
    model.save(path)
    write_json(path / "key.json", key)  # last: a model without its key was cut short and is fitted again


def _is_current(path: Path, key: str) -> bool:
    return (path / "key.json").is_file() and read_json(path / "key.json") == key
