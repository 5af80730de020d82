"""The CF models of a run: fitted once, on all training rows, and cross-fitted for the language model's training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.cross_fit import cross_fit
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.mf import MF
from ccf_llm.config import CFSettings
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Rows
from ccf_llm.files import read_json, write_json
from ccf_llm.prompts import Sequence
from ccf_llm.runs.folder import RunFolder, fingerprint
from ccf_llm.training.data import assign_folds

Say = Callable[[str], None]


@dataclass(frozen=True)
class CrossFitted:
    """CF models by fold, and the fold of each training row."""

    models: list[MF]
    folds: NDArray[np.int64]

    def of_row(self, row: int) -> CFModel:
        """The model that has not seen the row."""
        return self.models[int(self.folds[row])]


def fit_cf(folder: RunFolder, dataset: Dataset, settings: CFSettings, seed: int, say: Say) -> tuple[ItemUserMean, MF]:
    """Item + user mean and MF over all training rows; read from the run's folder where they were fitted before."""
    train = dataset.rows("train")
    n_users, n_items = len(dataset.user_vocabulary), len(dataset.item_vocabulary)
    mean = _once(
        folder.cf("item_user_mean"),
        cf_key(dataset, settings, seed),
        ItemUserMean,
        lambda: ItemUserMean.fit(train, n_users=n_users, n_items=n_items),
    )
    mf = _once(
        folder.cf("mf"), cf_key(dataset, settings, seed), MF, lambda: _fit_mf(dataset, train, settings, seed, say)
    )
    return mean, mf


def fit_folds(
    folder: RunFolder, dataset: Dataset, settings: CFSettings, seed: int, mf: MF, sequences: list[Sequence], say: Say
) -> CrossFitted | None:
    """Cross-fitted models for the packs of training rows; None where the settings ask for no folds."""
    if settings.folds == 0:
        return None
    train = dataset.rows("train")
    folds = assign_folds(sequences, train, folds=settings.folds, whole_users=settings.whole_users, seed=seed)
    key = fingerprint([cf_key(dataset, settings, seed), folds.tolist()])
    paths = [folder.cf(f"mf-fold-{k}") for k in range(settings.folds)]
    if not all(_is_current(path, key) for path in paths):
        models = cross_fit(mf, train, folds, lambda rows: _fit_mf(dataset, rows, settings, seed, say))
        for path, model in zip(paths, models, strict=True):
            _keep(path, key, model)
    models = [MF.load(path) for path in paths]
    return CrossFitted([model.requires_grad_(False) for model in models], folds)


def cf_key(dataset: Dataset, settings: CFSettings, seed: int) -> str:
    """What decides the CF models: data, split, settings and seed."""
    parts = (
        {name: record.sha256 for name, record in dataset.split.parts.items()} if dataset.split else dataset.describe()
    )
    return fingerprint({"data": parts, "cf": settings.model_dump(), "seed": seed})


def _fit_mf(dataset: Dataset, rows: Rows, settings: CFSettings, seed: int, say: Say) -> MF:
    say(f"matrix factorisation on {len(rows):,} rows")
    n_users, n_items = len(dataset.user_vocabulary), len(dataset.item_vocabulary)
    return MF.fit(rows, dataset.rows("valid"), n_users=n_users, n_items=n_items, config=settings.mf, seed=seed)


def _once(path: Path, key: str, kind: Any, fit: Callable[[], Any]) -> Any:
    """The model kept at `path`, if it was fitted for this key; else fit it and keep it."""
    if not _is_current(path, key):
        _keep(path, key, fit())
    return kind.load(path)


def _keep(path: Path, key: str, model: Any) -> None:
    model.save(path)
    write_json(path / "key.json", key)  # last: a model without its key was cut short and is fitted again


def _is_current(path: Path, key: str) -> bool:
    return (path / "key.json").is_file() and read_json(path / "key.json") == key
