"""The tests that every collaborative model passes; a new model's test is a class that names it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ccf_llm.cf import CFConfig, CFModel, load_cf
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError

N_USERS, N_ITEMS = 41, 31


class CFModelSuite:
    model_type: type[CFModel]
    config: CFConfig

    @classmethod
    def fit(cls, train: Rows, valid: Rows, **options: object) -> CFModel:
        options = {"n_users": N_USERS, "n_items": N_ITEMS, "config": cls.config, **options}
        return cls.model_type.fit(train, valid, **options)  # type: ignore[attr-defined]

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, train: Rows, valid: Rows) -> CFModel:
        return cls.fit(train, valid)

    def test_learns(self, model: CFModel, valid: Rows) -> None:
        assert roc_auc_score(valid.labels, model.score(valid)) > 0.8

    def test_learns_what_a_history_says_of_a_user_without_training_rows(self, model: CFModel) -> None:
        odd, even = np.arange(1, N_ITEMS, 2), np.arange(2, N_ITEMS, 2)
        for user in (0, N_USERS):
            likes_odd = Rows.for_candidates(odd[:6], np.concatenate([odd[6:], even]), user=user)
            scores = model.score(likes_odd)
            assert scores[: len(odd) - 6].mean() > scores[len(odd) - 6 :].mean() + 0.1

    def test_parts_make_the_score(self, model: CFModel, valid: Rows) -> None:
        users, history, items = model.inputs(valid)
        assert model.item_embedding(items).shape == (len(valid), model.dim)
        assert model.item_embedding(history).shape == (len(valid), model.history_length, model.dim)
        assert model.user_embedding(users, history).shape == (len(valid), model.dim)
        np.testing.assert_allclose(model.score(valid), model(users, history, items).detach().numpy(), atol=1e-6)

    def test_saves_and_loads_to_equal_scores(self, model: CFModel, valid: Rows, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        loaded = load_cf(tmp_path / "cf")
        assert type(loaded) is self.model_type
        assert loaded.config == model.config
        np.testing.assert_array_equal(loaded.score(valid), model.score(valid))

    def test_is_deterministic(self, model: CFModel, train: Rows, valid: Rows) -> None:
        torch.manual_seed(99)  # the seed that counts is the argument, not torch's own
        again = self.fit(train, valid)
        np.testing.assert_array_equal(again.score(valid), model.score(valid))
        other = self.fit(train, valid, seed=1)
        assert not np.array_equal(other.score(valid), model.score(valid))

    def test_unknown_user_item_and_empty_history_have_one_defined_score(self, model: CFModel) -> None:
        empty = np.zeros(0, dtype=np.int64)
        by_code = model.score(Rows.for_candidates(empty, np.array([0, N_ITEMS]), user=0))
        by_name = model.score(Rows.for_candidates(empty, np.array([0, N_ITEMS]), user=N_USERS))
        assert np.isfinite(by_code).all()
        np.testing.assert_allclose(np.concatenate([by_code, by_name]), by_code[0], atol=1e-6)

    def test_training_mode_does_not_change_embeddings(self, model: CFModel, valid: Rows) -> None:
        users, history, _ = model.inputs(valid)
        users[::2] = 0
        expected = model.user_embedding(users, history)
        model.train()
        torch.testing.assert_close(model.user_embedding(users, history), expected)
        model.eval()

    def test_counts_training_rows(self, model: CFModel, train: Rows) -> None:
        assert model.user_counts.sum() == model.item_counts.sum() == len(train)
        assert model.user_counts[7] == (train.users == 7).sum()
        assert model.item_counts[0] == model.item_counts[N_ITEMS] == 0

    def test_scores_no_rows(self, model: CFModel, valid: Rows) -> None:
        assert model.score(valid.take(slice(0, 0))).shape == (0,)

    def test_reports_progress(self, train: Rows, valid: Rows) -> None:
        lines: list[str] = []
        self.fit(train, valid, config=self.config.model_copy(update={"max_epochs": 2}), progress=lines.append)
        assert len(lines) == 2
        assert "valid AUC" in lines[0]

    def test_refuses_codes_of_another_vocabulary(self, model: CFModel, train: Rows, valid: Rows) -> None:
        with pytest.raises(CCFError, match=r"item code 99 is outside 0..31"):
            model.score(Rows.for_candidates(np.array([1]), np.array([99])))
        with pytest.raises(CCFError, match=r"user code 40 is outside 0..20"):
            self.fit(train, valid, n_users=20)

    def test_refuses_labels_of_one_class(self, train: Rows, valid: Rows) -> None:
        with pytest.raises(CCFError, match=r"^valid: .* without both liked and not liked"):
            self.fit(train, valid.take(valid.labels == 1))

    def test_refuses_a_damaged_folder(self, model: CFModel, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        weights = tmp_path / "cf" / "cf.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        with pytest.raises(CCFError, match=r"cf\.safetensors: does not hold"):
            load_cf(tmp_path / "cf")
        weights.unlink()
        with pytest.raises(CCFError, match=r"cf\.safetensors: no such file"):
            load_cf(tmp_path / "cf")
