import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shared_suite import N_ITEMS, N_USERS, ScorerSuite
from sklearn.metrics import roc_auc_score

from ccf_llm.cf.features import NAMES, Features
from ccf_llm.cf.gbm import GBM, GBMWords, import_lightgbm
from ccf_llm.cf.item_words import ItemWords
from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.settings import GBMConfig, MFConfig
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError
from ccf_llm.io.tensors import write_tensors

MF_CONFIG = MFConfig(dim=8, learning_rate=0.02, batch_size=64, max_epochs=8, history_length=10, l2=1e-3)


class TestGBM(ScorerSuite):
    model_type = GBM
    config = GBMConfig(learning_rate=0.1, min_rows=10, l2=1.0, max_trees=80, folds=3, history_length=10, mf=MF_CONFIG)

    def test_reports_each_set_of_features_and_the_end(self, train: Rows, valid: Rows) -> None:
        lines: list[str] = []
        self.fit(train, valid, progress=lines.append)
        assert [line.split()[1] for line in lines[:-1]] == ["features"] * 3
        assert "valid AUC" in lines[-1]

    @pytest.mark.parametrize("file", ["trees.txt", "cf.safetensors", "mf/cf.safetensors", "mean/cf.safetensors"])
    def test_names_any_damaged_file(self, model: GBM, tmp_path: Path, file: str) -> None:
        model.save(tmp_path / "cf")
        path = tmp_path / "cf" / file
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(CCFError, match=rf"{file}: cut or damaged"):
            load_cf(tmp_path / "cf")
        path.unlink()
        with pytest.raises(CCFError, match=rf"{file}: no such file"):
            load_cf(tmp_path / "cf")

    def test_saves_text_and_tensors_only(self, model: GBM, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        suffixes = {path.suffix for path in (tmp_path / "cf").rglob("*") if path.is_file()}
        assert suffixes == {".json", ".txt", ".safetensors"}


def item_words(n_items: int = N_ITEMS) -> ItemWords:
    """Odd and even items have a category each, and years and vectors that say nothing."""
    rng, odd = np.random.default_rng(2), np.arange(n_items + 1) % 2
    categories = np.stack([odd, 1 - odd], axis=1).astype(np.float32)
    categories[0] = 0
    years, vectors = rng.integers(1950, 2000, n_items + 1), rng.normal(size=(n_items + 1, 4))
    return ItemWords(categories, years.astype(np.float32), vectors.astype(np.float32))


class TestGBMWords(TestGBM):
    model_type = GBMWords

    @classmethod
    def fit(cls, train: Rows, valid: Rows, **options: Any) -> GBMWords:
        fitted: GBMWords = super().fit(train, valid, words=item_words(options.get("n_items", N_ITEMS)), **options)
        return fitted

    def test_reads_what_words_say_of_items_without_a_training_row(self, train: Rows, valid: Rows) -> None:
        new = (N_ITEMS, N_ITEMS - 1)
        model = self.fit(train.take(~np.isin(train.items, new)), valid)
        asked = valid.take(np.isin(valid.items, new))
        assert roc_auc_score(asked.labels, model.score(asked)) > 0.7
        without = GBM.fit(
            train.take(~np.isin(train.items, new)), valid, n_users=N_USERS, n_items=N_ITEMS, config=self.config
        )
        assert roc_auc_score(asked.labels, model.score(asked)) > roc_auc_score(asked.labels, without.score(asked)) + 0.1

    def test_a_damaged_file_of_words_is_named(self, model: GBMWords, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        path = tmp_path / "cf" / "words.safetensors"
        (tmp_path / "cf" / "manifest.json").unlink()
        write_tensors({"years": torch.zeros(3)}, path)
        with pytest.raises(CCFError, match=r"words\.safetensors: does not hold items' words"):
            load_cf(tmp_path / "cf")
        path.unlink()
        with pytest.raises(CCFError, match=r"words\.safetensors: no such file"):
            load_cf(tmp_path / "cf")

    def test_words_of_other_items_are_refused(self, train: Rows, valid: Rows) -> None:
        sizes: dict[str, Any] = {"n_users": N_USERS, "n_items": N_ITEMS}
        with pytest.raises(CCFError, match=r"^words: of 7 items; give those of all 31$"):
            GBMWords.fit(train, valid, words=item_words(7), **sizes)
        with pytest.raises(CCFError, match=r"^words: give them; it is gbm_words that reads them$"):
            GBMWords.fit(train, valid, **sizes)
        with pytest.raises(CCFError, match=r"^words: leave them out; it is gbm_words that reads them$"):
            GBM.fit(train, valid, words=item_words(), **sizes)


@pytest.fixture(scope="module")
def features(train: Rows, valid: Rows) -> Features:
    return Features.fit(train, valid, n_users=N_USERS, n_items=N_ITEMS, config=MF_CONFIG, seed=0)


def test_neighbourhood_is_what_a_count_by_hand_gives(features: Features, train: Rows) -> None:
    history, item = np.array([3, 8]), 5
    found = dict(zip(NAMES, features.of(Rows.for_candidates(history, np.array([item])), 10)[0].tolist(), strict=True))
    liked = {(u, i) for u, i, y in zip(train.users, train.items, train.labels, strict=True) if y}
    disliked = {(u, i) for u, i, y in zip(train.users, train.items, train.labels, strict=True) if not y}

    def users(pairs: set[tuple[int, int]], code: int) -> set[int]:
        return {u for u, i in pairs if i == code}

    both = [len(users(liked, j) & users(liked, item)) for j in history]
    against = [len(users(liked, j) & users(disliked, item)) for j in history]
    cosine = [n / np.sqrt(len(users(liked, j)) * len(users(liked, item))) for n, j in zip(both, history, strict=True)]
    assert found["mean similarity"] == pytest.approx(np.mean(cosine), rel=1e-5)
    assert found["largest similarity"] == pytest.approx(max(cosine), rel=1e-5)
    assert found["neighbours"] == pytest.approx(np.log1p(sum(both) + sum(against)), rel=1e-5)
    share = train.labels.mean()
    rate = (sum(both) + 3 * share) / (sum(against) + 3 * (1 - share))
    assert found["neighbours' rate"] == pytest.approx(np.log(rate), abs=0.02)
    assert found["item rows"] == pytest.approx(np.log1p((train.items == item).sum()), rel=1e-5)
    assert found["user rows"] == 0


def test_no_feature_of_a_training_row_has_seen_its_label(train: Rows, valid: Rows) -> None:
    """Labels that are noise cannot be learned: out-of-fold features stay worthless on the training rows too."""
    noise = np.random.default_rng(5).integers(0, 2, len(train)).astype(np.int8)
    rows = Rows(**{**vars(train), "labels": noise})
    seen = Features.fit(rows, valid, n_users=N_USERS, n_items=N_ITEMS, config=MF_CONFIG, seed=0).of(rows, 10)
    folds = np.arange(len(rows)) % 3
    honest = np.zeros_like(seen)
    for fold in range(3):
        part = Features.fit(rows.take(folds != fold), valid, n_users=N_USERS, n_items=N_ITEMS, config=MF_CONFIG, seed=0)
        honest[folds == fold] = part.of(rows.take(folds == fold), 10)
    column = NAMES.index("factorisation")
    assert roc_auc_score(noise, seen[:, column]) > 0.7
    assert all(abs(roc_auc_score(noise, honest[:, c]) - 0.5) < 0.08 for c in range(len(NAMES)))


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(CCFError, match=r"pip install 'ccf-llm\[gbm\]'"):
        import_lightgbm()


def test_a_missing_openmp_runtime_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "lightgbm.py").write_text(f"raise OSError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    with pytest.raises(CCFError, match=r"libgomp\.so\.1.*apt-get install libgomp1"):
        import_lightgbm()
