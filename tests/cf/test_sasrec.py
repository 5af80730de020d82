import numpy as np
import pytest
import torch
from pydantic import ValidationError
from shared_suite import N_ITEMS, CFModelSuite

from ccf_llm.cf.sasrec import SASRec
from ccf_llm.cf.settings import SASRecConfig
from ccf_llm.data.rows import Rows


class TestSASRec(CFModelSuite):
    model_type = SASRec
    config = SASRecConfig(
        dim=8, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=10, l2=1e-3, blocks=2, heads=2
    )

    def test_order_counts_and_padding_does_not(self, model: SASRec) -> None:
        users = torch.tensor([1])

        def vector(*history: int) -> torch.Tensor:
            return model.user_embedding(users, torch.tensor([history]))[0]

        torch.testing.assert_close(vector(3, 5, 8), vector(0, 0, 0, 3, 5, 8))
        torch.testing.assert_close(vector(3, 5, 8), vector(3, 5, N_ITEMS, 8))  # no training row: it says nothing
        assert not torch.allclose(vector(3, 5, 8), vector(5, 3, 8), atol=1e-4)
        torch.testing.assert_close(vector(0)[:-1], model.no_history)

    def test_a_state_sees_no_later_like(self, model: SASRec) -> None:
        """The state after three likes is the same whether it is computed alone or among longer histories."""
        users, length = torch.tensor([1, 1]), model.history_length
        both = torch.zeros(2, length, dtype=torch.long)
        both[0, -3:] = torch.tensor([3, 5, 8])
        both[1] = torch.arange(1, length + 1)
        torch.testing.assert_close(
            model.user_embedding(users, both)[0], model.user_embedding(users[:1], both[:1, -3:])[0]
        )

    def test_dropout_is_for_its_own_training_only(self, model: SASRec, valid: Rows) -> None:
        inputs = model.inputs(valid)
        expected = model(*inputs)
        model.train()
        assert not torch.allclose(model(*inputs), expected, atol=1e-3)
        model.eval()
        np.testing.assert_array_equal(model(*inputs).detach().numpy(), expected.detach().numpy())


def test_heads_share_out_the_width() -> None:
    with pytest.raises(ValidationError, match="3 heads cannot share out dim 8"):
        SASRecConfig(dim=8, heads=3)
