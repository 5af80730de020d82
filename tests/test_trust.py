"""docs/trust.md promises nothing without a test."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
PROMISES = [
    row
    for table in re.findall(r"^\| promise \| held by \|\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, flags=re.MULTILINE)
    for row in table.splitlines()
]
PLACES = re.findall(r"`(tests/[\w/.]+)(?:::(test_\w+))?`(?: \(((?:`test_\w+`(?:, )?)+)\))?", TEXT)
"""A file or folder of tests, and the test that is named: after it, or several in brackets."""


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_every_promise_names_a_test() -> None:
    assert len(PROMISES) > 40
    assert [row for row in PROMISES if "`tests/" not in row.rsplit("|", 2)[1]] == []


def test_the_tests_that_are_named_exist() -> None:
    assert sum(bool(one or several) for _, one, several in PLACES) > 40
    for path, one, several in PLACES:
        assert (ROOT / path).exists(), path
        for name in [one] if one else re.findall(r"test_\w+", several):
            assert re.search(rf"^ *(async )?def {name}\(", source(path), flags=re.MULTILINE), f"{path}::{name}"
