"""Bytes from anywhere raise nothing but `CCFError`; `fuzz/coverage.py` runs the same targets for hours."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets import TARGETS, hold

EXAMPLES = {"model": 15, "dataset": 25}
"""Of the slow targets."""


@st.composite
def damaged(draw: st.DrawFn, sound: list[bytes]) -> tuple[bytes, int]:
    """A sound file with some bytes changed and some cut out or put in, or any bytes, and its number."""
    number = draw(st.integers(0, len(sound) - 1))
    content = bytearray(sound[number])
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[place] = byte
    start, length = draw(st.integers(0, len(content))), draw(st.sampled_from([0, 0, 1, 8, len(content)]))
    content[start : start + length] = draw(st.binary(max_size=24))
    return bytes(content), number


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_one_line_comes_out(name: str, tmp_path: Path) -> None:
    target, sound = TARGETS[name](tmp_path)
    for number, content in enumerate(sound):
        target(content, number)  # is sound

    @settings(
        max_examples=EXAMPLES.get(name, 60), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(damaged(sound))
    def read(case: tuple[bytes, int]) -> None:
        hold(target, *case)

    read()
