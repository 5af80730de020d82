"""The tests that every fitted scorer and every collaborative model passes; a new one's are a class that names it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.settings import CFConfig
from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError

N_USERS, N_ITEMS = 41, 31


class ScorerSuite:
    """What holds for everything that is fitted on labels; `model_type` and `config` say what is tested."""

    model_type: Any
    config: Any
    weights_file = "cf.safetensors"

    @classmethod
    def fit(cls, train: Rows, valid: Rows, **options: Any) -> Any:
        options = {"n_users": N_USERS, "n_items": N_ITEMS, "config": cls.config, **options}
        return cls.model_type.fit(train, valid, **options)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, train: Rows, valid: Rows) -> Any:
        return cls.fit(train, valid)

    def test_learns(self, model: Any, valid: Rows) -> None:
        assert roc_auc_score(valid.labels, model.score(valid)) > 0.8

    def test_learns_what_a_history_says_of_a_user_without_training_rows(self, model: Any) -> None:
        odd, even = np.arange(1, N_ITEMS, 2), np.arange(2, N_ITEMS, 2)
        for user in (0, N_USERS):
            likes_odd = Rows.for_candidates(odd[:6], np.concatenate([odd[6:], even]), user=user)
            scores = model.score(likes_odd)
            assert scores[: len(odd) - 6].mean() > scores[len(odd) - 6 :].mean() + 0.1

    def test_saves_and_loads_to_equal_scores(self, model: Any, valid: Rows, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        loaded = load_cf(tmp_path / "cf")
        assert type(loaded) is self.model_type
        assert loaded.config == model.config
        np.testing.assert_array_equal(loaded.score(valid), model.score(valid))

    def test_is_deterministic(self, model: Any, train: Rows, valid: Rows) -> None:
        torch.manual_seed(99)  # the seed that counts is the argument, not torch's own
        again = self.fit(train, valid)
        np.testing.assert_array_equal(again.score(valid), model.score(valid))
        other = self.fit(train, valid, seed=1)
        assert not np.array_equal(other.score(valid), model.score(valid))

    def test_unknown_user_item_and_empty_history_have_one_defined_score(self, model: Any) -> None:
        empty = np.zeros(0, dtype=np.int64)
        by_code = model.score(Rows.for_candidates(empty, np.array([0, N_ITEMS]), user=0))
        by_name = model.score(Rows.for_candidates(empty, np.array([0, N_ITEMS]), user=N_USERS))
        assert np.isfinite(by_code).all()
        np.testing.assert_allclose(np.concatenate([by_code, by_name]), by_code[0], atol=1e-6)

    def test_scores_no_rows(self, model: Any, valid: Rows) -> None:
        assert model.score(valid.take(slice(0, 0))).shape == (0,)

    def test_refuses_codes_of_another_vocabulary(self, model: Any, train: Rows, valid: Rows) -> None:
        with pytest.raises(CCFError, match=r"item code 99 is outside 0..31"):
            model.score(Rows.for_candidates(np.array([1]), np.array([99])))
        with pytest.raises(CCFError, match=r"user code 40 is outside 0..20"):
            self.fit(train, valid, n_users=20)

    def test_refuses_labels_of_one_class(self, train: Rows, valid: Rows) -> None:
        with pytest.raises(CCFError, match=r"^valid: .* without both liked and not liked"):
            self.fit(train, valid.take(valid.labels == 1))

    def test_refuses_a_damaged_folder(self, model: Any, tmp_path: Path) -> None:
        model.save(tmp_path / "cf")
        weights = tmp_path / "cf" / self.weights_file
        weights.write_bytes(weights.read_bytes()[:100])
        with pytest.raises(CCFError, match=rf"{re.escape(self.weights_file)}: cut or damaged"):
            load_cf(tmp_path / "cf")
        weights.unlink()
        with pytest.raises(CCFError, match=rf"{re.escape(self.weights_file)}: no such file"):
            load_cf(tmp_path / "cf")

    def test_one_item_is_enough(self, train: Rows, valid: Rows) -> None:
        def one_item(rows: Rows) -> Rows:
            return replace(rows, items=np.ones_like(rows.items), likes=np.ones_like(rows.likes))

        model = self.fit(one_item(train), one_item(valid), n_items=1)
        assert np.isfinite(model.score(one_item(valid))).all()
        cold = Rows.for_candidates(np.array([1]), np.array([0, 1]), user=0)
        assert np.isfinite(model.score(cold)).all()


class CFModelSuite(ScorerSuite):
    """What holds for every model with vectors, beyond that."""

    model_type: type[CFModel]
    config: CFConfig
    members: int = 1
    """Models that are fitted, each for itself."""

    def test_parts_make_the_score(self, model: CFModel, valid: Rows) -> None:
        users, history, items = model.inputs(valid)
        assert model.item_embedding(items).shape == (len(valid), model.dim)
        assert model.item_embedding(history).shape == (len(valid), model.history_length, model.dim)
        assert model.user_embedding(users, history).shape == (len(valid), model.dim)
        np.testing.assert_allclose(model.score(valid), model(users, history, items).detach().numpy(), atol=1e-6)

    def test_training_mode_does_not_change_embeddings(self, model: CFModel, valid: Rows) -> None:
        users, history, _ = model.inputs(valid)
        users[::2] = 0
        expected = model.user_embedding(users, history)
        model.train()
        torch.testing.assert_close(model.user_embedding(users, history), expected)
        model.eval()

    @pytest.mark.parametrize(("user", "likes"), [(1, [2, 4]), (0, [1, 3]), (0, []), (N_USERS, [5])])
    def test_the_catalogue_is_scored_as_row_by_row(self, model: CFModel, user: int, likes: list[int]) -> None:
        history = np.array(likes, dtype=np.int64)
        rows = Rows.for_candidates(history, np.arange(1, N_ITEMS + 1), user=user)
        np.testing.assert_allclose(model.score_catalogue(user, history), model.score(rows), atol=1e-5)

    def test_new_items_are_unknown_ones_and_change_nothing_else(self, model: CFModel, valid: Rows) -> None:
        grown = model.with_items(3)
        assert (grown.n_items, model.n_items) == (N_ITEMS + 3, N_ITEMS)
        np.testing.assert_array_equal(grown.score(valid), model.score(valid))
        scores = grown.score_catalogue(2, np.array([4, N_ITEMS + 2]))  # a new item that is liked says nothing
        np.testing.assert_allclose(scores[:N_ITEMS], model.score_catalogue(2, np.array([4])), atol=1e-5)
        # The last of the old items has no training row either.
        np.testing.assert_allclose(scores[N_ITEMS:], scores[N_ITEMS - 1], atol=1e-5)
        assert not grown.training

    def test_counts_training_rows(self, model: CFModel, train: Rows) -> None:
        assert model.user_counts.sum() == model.item_counts.sum() == len(train)
        assert model.user_counts[7] == (train.users == 7).sum()
        assert model.item_counts[0] == model.item_counts[N_ITEMS] == 0

    def test_no_users_have_no_vectors(self, model: CFModel) -> None:
        none = torch.zeros(0, dtype=torch.long)
        history = none.view(0, model.history_length)
        assert model.user_embedding(none, history).shape == model.item_embedding(none).shape == (0, model.dim)
        assert model(none, history, none).shape == (0,)

    def test_turned_vectors_change_no_score(self, model: CFModel, valid: Rows) -> None:
        users, history, items = model.inputs(valid)
        user, item = model.user_embedding(users, history), model.item_embedding(items)
        turned = type(model)(model.n_users, model.n_items, model.config)
        turned.load_state_dict(model.state_dict())
        turned.rotation.copy_(
            torch.linalg.qr(torch.randn(*turned.rotation.shape, generator=torch.Generator().manual_seed(0)))[0]
        )
        assert not torch.allclose(turned.item_embedding(items), item, atol=0.01)
        torch.testing.assert_close(turned.item_embedding(items)[:, -1], item[:, -1])
        turned_user, turned_item = turned.user_embedding(users, history), turned.item_embedding(items)
        torch.testing.assert_close((turned_user * turned_item)[:, :-1].sum(1), (user * item)[:, :-1].sum(1))
        np.testing.assert_array_equal(turned.score(valid), model.score(valid))

    def test_statistics_are_those_of_the_vectors(self, model: CFModel, train: Rows) -> None:
        last = np.array([np.flatnonzero(train.users == user)[-1] for user in np.unique(train.users)])
        users, history, _ = model.inputs(train.take(last))
        for vectors, (mean, scale) in (
            (model.user_embedding(users, history), model.user_statistics()),
            (model.item_embedding(torch.arange(1, N_ITEMS)), model.item_statistics()),
        ):
            torch.testing.assert_close(mean, vectors.mean(0))
            torch.testing.assert_close(scale, vectors.var(0, correction=0).mean().sqrt())
            assert scale > 0.01

    def test_gradients_reach_what_the_vectors_are_made_of(self, model: CFModel, valid: Rows) -> None:
        users, history, items = model.inputs(valid)
        weights = dict(model.named_parameters())
        total = model.user_embedding(users, history).square().sum() + model.item_embedding(items).square().sum()
        gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
        reached = {name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None}
        assert sum(name.rpartition(".")[2] == "items" for name in reached) == self.members
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None)

    def test_names_a_learning_rate_that_diverges(self, train: Rows, valid: Rows) -> None:
        with pytest.raises(CCFError, match=r"^learning_rate: training diverged at 1e\+30; choose a smaller one"):
            self.fit(train, valid, config=self.config.model_copy(update={"learning_rate": 1e30}))

    def test_reports_progress(self, train: Rows, valid: Rows) -> None:
        lines: list[str] = []
        self.fit(train, valid, config=self.config.model_copy(update={"max_epochs": 2}), progress=lines.append)
        assert len(lines) == 2 * self.members
        assert "valid AUC" in lines[-1]
