"""The CF models of a run: fitted once, on all training rows, and cross-fitted for the language model's training."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.cross_fit import align, assign_folds, cross_fit
from ccf_llm.cf.gbm import GBMWords
from ccf_llm.cf.kinds import KINDS, RANKERS, VECTORS, load_cf
from ccf_llm.cf.mean import ItemUserMean
from ccf_llm.cf.prior import Words
from ccf_llm.cf.scorer import Scorer
from ccf_llm.cf.settings import CFSettings
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.rows import Codes, Rows
from ccf_llm.experiments.config import RunConfig
from ccf_llm.experiments.cost import Cost, measured
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.experiments.words import item_words, item_words_key, words_key, words_of
from ccf_llm.io.files import read_json, write_json
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.progress import Say, now_and_then
from ccf_llm.prompts.pack import Sequence
from ccf_llm.training.processes import first_ahead


@dataclass(frozen=True)
class CrossFitted:
    """CF models by fold, the fold of each training row, and what the fits took."""

    models: list[CFModel]
    folds: NDArray[np.int64]
    seconds: float

    @property
    def name(self) -> str:
        """Under which its cost is counted."""
        return f"{self.models[0].kind}, {len(self.models)} folds"

    def of_row(self, row: int) -> CFModel:
        """The model that has not seen the row."""
        return self.models[int(self.folds[row])]


def fit_row(
    method: str,
    dataset: Dataset,
    train: Rows,
    settings: CFSettings,
    seed: int,
    words: Words | None = None,
    progress: Say | None = None,
) -> Scorer:
    """Fit the CF model `method` on `train`, which may be a part of the data set's train rows.

    `words` are for retrievers, some of which draw items with few likes to what they predict; `progress` gets a line now
    and then.
    """
    n_users, n_items = len(dataset.user_vocabulary), len(dataset.item_vocabulary)
    if method == ItemUserMean.name:
        return ItemUserMean.fit(train, n_users=n_users, n_items=n_items)
    fitted: Any = KINDS[method]  # each takes its own settings
    options: dict[str, Any] = {"config": settings.of(method), "seed": seed, "progress": progress}
    if method in RANKERS:
        options["words"] = words
    if method == GBMWords.kind:
        options["words"] = item_words(dataset)
    model: Scorer = fitted.fit(train, dataset.rows("valid"), n_users=n_users, n_items=n_items, **options)
    return model


def fit_cf(folder: RunFolder, dataset: Dataset, methods: Iterable[str], config: RunConfig, say: Say) -> None:
    """Fit the CF models named in `methods` on all training rows, but those that the run's folder has already."""
    train = dataset.rows("train")
    with first_ahead():
        for method in methods:
            path, key = folder.cf(method), cf_key(method, dataset, config)
            if not _is_current(path, key):
                say(f"{method}: fitting on {len(train):,} rows")
                with measured() as cost:
                    model = fit_told(method, dataset, train, config, say)
                _keep(path, key, dataset, model, cost)


def load_vectors(folder: RunFolder, kind: str) -> CFModel:
    """A CF model that `fit_cf` has fitted, to be read by a method; each call gives one of its own."""
    return VECTORS[kind].load(folder.cf(kind))


def fit_folds(
    folder: RunFolder,
    dataset: Dataset,
    config: RunConfig,
    reference: CFModel,
    folds: NDArray[np.int64],
    say: Say,
) -> CrossFitted:
    """A model for each of the `folds`, which are (N,) numbers from 0 of the training rows.

    `reference` is the model fitted on all rows, in whose space the folds' models are shown.
    """
    kind, train, count = reference.kind, dataset.rows("train"), int(folds.max()) + 1
    key = fingerprint([cf_key(kind, dataset, config), folds.tolist()])
    paths = [folder.cf(f"{kind}-fold-{k}-{key[:6]}") for k in range(count)]

    def fit(rows: Rows) -> CFModel:
        say(f"{kind}: cross-fitting on {len(rows):,} rows")
        model = fit_told(kind, dataset, rows, config, say)
        assert isinstance(model, CFModel)
        return model

    with first_ahead():
        if not all(_is_current(path, key) for path in paths):
            with measured() as cost:
                models = cross_fit(reference, train, folds, fit)
            share = replace(cost, seconds=cost.seconds / count)
            for path, model in zip(paths, models, strict=True):
                _keep(path, key, dataset, model, share)
    return _read_kept(paths, reference, folds)


def fit_moments(folder: RunFolder, then: list[Dataset], config: RunConfig, reference: CFModel, say: Say) -> CrossFitted:
    """A model for each of some moments (`data.moments`), of what came before it; the folds are left empty.

    `reference` is the model fitted on all rows, in whose space they are shown.
    """
    kind = reference.kind
    keys = [cf_key(kind, dataset, config) for dataset in then]
    paths = [folder.cf(f"{kind}-moment-{k}-{key[:6]}") for k, key in enumerate(keys)]
    with first_ahead():
        for path, key, dataset in zip(paths, keys, then, strict=True):
            if not _is_current(path, key):
                rows = dataset.rows("train")
                say(f"{kind}: fitting on the first {len(rows):,} rows")
                with measured() as cost:
                    model = fit_told(kind, dataset, rows, config, say)
                    assert isinstance(model, CFModel)
                    align(model, reference)
                _keep(path, key, dataset, model, cost)
    return _read_kept(paths, reference, np.zeros(0, dtype=np.int64))


def _read_kept(paths: list[Path], reference: CFModel, folds: Codes) -> CrossFitted:
    models = [type(reference).load(path).requires_grad_(False) for path in paths]
    return CrossFitted(models, folds, sum(read_cost(path).seconds for path in paths))


def folds_of_packs(sequences: list[Sequence], train: Rows, settings: CFSettings, count: int, seed: int) -> Codes:
    """(N,) fold of each training row, those of a pack in one.

    Packs, and so folds, depend on the prompt: methods of one prompt share their models, each prompt has its own.
    """
    packs = [sequence.rows for sequence in sequences]
    return assign_folds(packs, train, folds=count, whole_users=settings.whole_users, seed=seed)


def cf_key(method: str, dataset: Dataset, config: RunConfig) -> str:
    """What decides the CF model `method`: vocabularies, labels, histories and split, its own settings and the seed; of
    one that takes words, these too.
    """
    own = None if method == ItemUserMean.name else config.cf.of(method).model_dump(mode="json")
    words = {"words": words_key(config, dataset)} if config.cf.draws(method) else {}
    if method == GBMWords.kind:
        words = {"words": item_words_key(dataset)}
    return fingerprint(
        words | {"data": dataset.identity.learned, "method": method, "settings": own, "seed": config.seed}
    )


def read_cost(path: Path) -> Cost:
    """What the fit of the CF model in `path` took."""
    return Cost(**read_json(path / "fit.json")["cost"])


def load_fitted(folder: RunFolder, name: str, trained: TrainedOn) -> Scorer:
    """A CF model of the run; raises `CCFError` where it was fitted on other data than the run's."""
    path = folder.cf(name)
    trained.check(read_json(path / "fit.json").get("data"), str(path))
    return load_cf(path)


def fit_told(method: str, dataset: Dataset, rows: Rows, config: RunConfig, say: Say | None = None) -> Scorer:
    """Fit the CF model `method` of a run on some of a data set's rows, told of the items' words where it reads them."""
    words = words_of(config, dataset) if config.cf.draws(method) else None
    return fit_row(method, dataset, rows, config.cf, config.seed, words, say and now_and_then(say))


def _keep(path: Path, key: str, dataset: Dataset, model: Scorer, cost: Cost) -> None:
    model.save(path)
    # Last: a model without it was cut short.
    write_json(path / "fit.json", {"key": key, "data": dataset.identity.learned, "cost": asdict(cost)})


def _is_current(path: Path, key: str) -> bool:
    return (path / "fit.json").is_file() and read_json(path / "fit.json")["key"] == key
