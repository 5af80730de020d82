import pytest
from pydantic import ValidationError
from shared_suite import CFModelSuite

from ccf_llm.cf import MF, MFConfig


class TestMF(CFModelSuite):
    model_type = MF
    config = MFConfig(dim=8, learning_rate=0.02, batch_size=64, max_epochs=12, history_length=10, l2=1e-3)

    def test_the_bias_is_the_last_dimension(self, model: MF) -> None:
        assert model.dim == 9
        assert model.items.shape == (32, 9)


def test_config_refuses_unknown_settings() -> None:
    with pytest.raises(ValidationError, match="extra"):
        MFConfig(dimension=8)  # type: ignore[call-arg]
