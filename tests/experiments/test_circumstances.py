"""How figures came about."""

import pytest

from ccf_llm.experiments.circumstances import circumstances


def test_where_there_is_no_history_a_variable_says_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCF_LLM_COMMIT", "0123456789ab")
    assert circumstances()["commit"] == "0123456789ab"


def test_elsewhere_the_checkout_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCF_LLM_COMMIT", raising=False)
    monkeypatch.setenv("PATH", "")  # no git: no commit, and no error
    assert circumstances()["commit"] is None
