"""Gradient-boosted trees (LightGBM; Ke et al. 2017) on features that have not seen the row's label, and on words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ccf_llm.cf.checks import check_codes, check_labels
from ccf_llm.cf.cross_fit import assign_folds
from ccf_llm.cf.features import NAMES, Features
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.rank_features import word_columns
from ccf_llm.cf.settings import GBMConfig, RankTreesConfig
from ccf_llm.cf.store import SETTINGS_FILE, read_settings, stored
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError, one_line
from ccf_llm.evaluation.metrics import auc
from ccf_llm.io.hashing import sha256_of
from ccf_llm.io.tensors import read_tensors, write_tensors

TREES_FILE = "trees.txt"
WORDS_FILE = "words.safetensors"


@dataclass(frozen=True)
class GBM:
    """Boosted trees on smoothed means, counts, a factorisation's log-odds and the candidate's likeness to the history.

    A feature made of a row's own label would give it away. So the training rows are cut into folds, and the features of
    each fold are fitted on the others (out-of-fold prediction, as in stacking); rows to be scored read features fitted
    on all of train. A scorer without vectors: it cannot fill slots.
    """

    kind: ClassVar[str] = "gbm"
    name: ClassVar[str] = "gbm"
    reads_words: ClassVar[bool] = False

    config: GBMConfig
    features: Features
    trees: str
    """LightGBM's text form of the model."""
    words: ItemWords | None = None
    """What the items' texts say; None: no words are read."""

    @classmethod
    def fit(
        cls,
        train: Rows,
        valid: Rows,
        *,
        n_users: int,
        n_items: int,
        config: GBMConfig | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
        words: ItemWords | None = None,
    ) -> Self:
        """Grow trees until the AUC on `valid` stops rising; `progress` gets one line for each set of features.

        Raises `CCFError` for codes outside the vocabulary, labels without both classes, words of other items, and where
        LightGBM is missing.
        """
        lightgbm = import_lightgbm()
        config = config or GBMConfig()
        for name, rows in (("train", train), ("valid", valid)):
            check_codes(rows, n_users, n_items)
            check_labels(rows, name)
        if (words is not None) != cls.reads_words:
            remedy = "give them" if cls.reads_words else "leave them out"
            raise CCFError(f"words: {remedy}; it is gbm_words that reads them")
        if words is not None and len(words.years) != n_items + 1:
            raise CCFError(f"words: of {len(words.years) - 1} items; give those of all {n_items}")
        say = progress or (lambda line: None)

        def fit_features(rows: Rows) -> Features:
            return Features.fit(rows, valid, n_users=n_users, n_items=n_items, config=config.mf, seed=seed)

        length = config.history_length
        table = np.zeros((len(train), len(NAMES)), dtype=np.float32)
        single = np.arange(len(train))[:, None]
        folds = assign_folds(single, train, folds=config.folds, whole_users=config.whole_users, seed=seed)
        for fold in np.unique(folds):
            table[folds == fold] = fit_features(train.take(folds != fold)).of(train.take(folds == fold), length)
            say(f"{cls.name}: features of fold {fold + 1} of {config.folds}")
        features = fit_features(train)
        data = lightgbm.Dataset(_with_words(table, words, train, length), train.labels)
        told = _with_words(features.of(valid, length), words, valid, length)
        booster = lightgbm.train(
            tree_parameters(config, seed) | {"objective": "binary", "metric": "auc"},
            data,
            config.max_trees,
            valid_sets=[lightgbm.Dataset(told, valid.labels, reference=data)],
            callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
        )
        model = cls(config, features, booster.model_to_string(num_iteration=booster.best_iteration), words)
        say(f"{cls.name}: {booster.best_iteration} trees, valid AUC {auc(valid.labels, model.score(valid)):.4f}")
        return model

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """(N,) log-odds."""
        check_codes(rows, self.features.mf.n_users, self.features.mf.n_items)
        if not len(rows):
            return np.zeros(0, dtype=np.float32)
        booster = import_lightgbm().Booster(model_str=self.trees)
        length = self.config.history_length
        told = _with_words(self.features.of(rows, length), self.words, rows, length)
        found = booster.predict(told, raw_score=True)
        return np.asarray(found, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write `cf.json`, `trees.txt` and the features to `folder`, atomically."""
        settings = {"config": self.config.model_dump(mode="json"), "trees": trees_checksum(self.trees)}
        with stored(folder, self.kind, settings) as temporary:
            (temporary / TREES_FILE).write_text(self.trees, encoding="utf-8")
            self.features.save(temporary)
            if self.words is not None:
                words = {name: torch.from_numpy(array) for name, array in self.words.arrays().items()}
                write_tensors(words, temporary / WORDS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `CCFError` where a file is missing or damaged."""
        settings = read_settings(folder, cls.kind)
        path = Path(folder) / SETTINGS_FILE
        try:
            config = GBMConfig.model_validate(settings["config"])
            recorded = settings["trees"]
        except (KeyError, ValueError) as error:
            raise CCFError(f"{path}: does not hold a {cls.kind} model ({one_line(error)}); save it again") from None
        words = _read_words(Path(folder) / WORDS_FILE) if cls.reads_words else None
        return cls(config, Features.load(Path(folder)), read_trees(Path(folder), recorded), words)


class GBMWords(GBM):
    """The same trees, which also read what an item's words have to do with those of the history: shares of categories,
    years, and cosines of an encoder's vectors (`cf.rank_features.word_columns`).
    """

    kind: ClassVar[str] = "gbm_words"
    name: ClassVar[str] = "gbm_words"
    reads_words: ClassVar[bool] = True


def _read_words(path: Path) -> ItemWords:
    try:
        return ItemWords(**{name: tensor.numpy() for name, tensor in read_tensors(path).items()})
    except TypeError as error:
        raise CCFError(f"{path}: does not hold items' words ({one_line(error)}); save the model again") from None


def _with_words(table: NDArray[np.float32], words: ItemWords | None, rows: Rows, length: int) -> NDArray[np.float32]:
    """(N, F) features, and beside them what the words of each row's item and last `length` likes say."""
    if words is None or not len(rows):
        return table
    told = [
        list(word_columns(words, rows.items[row : row + 1], rows.history(row)[-length:]).values())
        for row in range(len(rows))
    ]
    return np.concatenate([table, np.array(told, dtype=np.float32)[:, :, 0]], axis=1)


def read_trees(folder: Path, recorded: str) -> str:
    """LightGBM's text form of a model; a `CCFError` where the file is missing or not the one of the `recorded` sum."""
    path = folder / TREES_FILE
    try:
        trees = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CCFError(f"{path}: no such file; save the model again") from None
    except (ValueError, OSError) as error:
        raise CCFError(f"{path}: cannot be read ({one_line(error)}); save the model again") from None
    # LightGBM reads a cut file without complaint, as a model of fewer trees.
    if trees_checksum(trees) != recorded:
        raise CCFError(f"{path}: cut or damaged; save the model again")
    return trees


def trees_checksum(trees: str) -> str:
    """What is recorded of the text form."""
    return f"sha256:{sha256_of(trees)}"


def import_lightgbm() -> Any:
    """The library, which is an extra; a `CCFError` says how to get what is missing."""
    try:
        import lightgbm
    except ImportError:
        raise CCFError("gbm: LightGBM is not installed; pip install 'ccf-llm[gbm]'") from None
    except OSError as error:  # its wheel has no OpenMP runtime of its own
        raise CCFError(
            f"gbm: LightGBM cannot be loaded ({one_line(error)}); install the OpenMP runtime: "
            "apt-get install libgomp1, dnf install libgomp, or brew install libomp"
        ) from None
    return lightgbm


def tree_parameters(config: GBMConfig | RankTreesConfig, seed: int) -> dict[str, Any]:
    """The settings in LightGBM's words, but for what is learned; the same seed gives the same trees."""
    return {
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows,
        "lambda_l2": config.l2,
        "bagging_fraction": config.sampled,
        "bagging_freq": 1,
        "feature_fraction": config.sampled,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,  # the choice between row- and column-wise is otherwise made by timing
        "num_threads": torch.get_num_threads(),
        "verbosity": -1,
    }
