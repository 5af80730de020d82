import pytest

from ccf_llm.recommend.recommender import Recommender


@pytest.fixture
def by_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says what decides, it is the model, though it has learned to rate."""
    monkeypatch.setattr(Recommender, "order", "fused")
