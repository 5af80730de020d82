import pytest

from ccf_llm.io.progress import now_and_then, time_left


def test_only_what_takes_long_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 4.0, 11.0, 11.0, 12.0, 30.0, 30.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    said: list[str] = []
    tell = now_and_then(said.append)
    for line in "abcd":
        tell(line)
    assert said == ["b", "d"]


def test_the_rest_takes_as_long_as_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    assert time_left(80.0, 2, 5) == "30 s left"
    assert time_left(0.0, 1, 4) == "5 min left"
