import numpy as np
import pytest
import torch
from pydantic import ValidationError
from shared_suite import N_ITEMS, CFModelSuite

from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import MFConfig
from ccf_llm.data.rows import Rows


class TestMF(CFModelSuite):
    model_type = MF
    config = MFConfig(dim=8, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=10, l2=1e-3)

    def test_the_bias_is_the_last_dimension(self, model: MF) -> None:
        assert model.dim == 9
        assert model.items.shape == (32, 9)

    def test_a_cold_user_follows_from_the_history(self, model: MF) -> None:
        assert model.history_scale > 0
        history = torch.tensor([[0, 0, 3, 5, N_ITEMS]])  # the last one has no training row and says nothing
        taste = model.items[[3, 5], :-1].mean(0) - model.history_center
        expected = model.users[0, :-1] + model.history_scale * taste
        vector = model.user_embedding(torch.tensor([0]), history)[0]
        torch.testing.assert_close(vector[:-1], expected)
        assert vector[-1] == model.users[0, -1]

    def test_least_squares_on_training_users(self, model: MF, train: Rows) -> None:
        last = np.array([np.flatnonzero(train.users == user)[-1] for user in np.unique(train.users)])
        model.fit_history(train.take(last))  # what `fit` did after the last pass it kept
        taste, _ = model._history_taste(torch.from_numpy(train.take(last).padded_histories(10)))
        design = (taste - taste.mean(0)).reshape(-1, 1).detach().numpy()
        own = model.users[torch.from_numpy(train.users[last]), :-1].detach().numpy().reshape(-1)
        slope = np.linalg.lstsq(design, own, rcond=None)[0]
        assert float(model.history_scale) == pytest.approx(slope[0], rel=1e-4)


def test_config_refuses_unknown_settings() -> None:
    with pytest.raises(ValidationError, match="extra"):
        MFConfig(dimension=8)  # type: ignore[call-arg]
