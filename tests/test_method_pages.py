"""Every row of the comparison has a page."""

import re
from pathlib import Path

import pytest

from ccf_llm.experiments.config import CF_METHODS, LATE_FUSION, TREES, TREES_WORDS, load_config

ROOT = Path(__file__).parents[1]
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "methods").glob("*.md")}
ROWS = [*CF_METHODS, LATE_FUSION, TREES, TREES_WORDS, *load_config(ROOT / "configs" / "ml-1m.yaml").methods]


@pytest.mark.parametrize("row", ROWS)
def test_a_page_has_it_in_its_title(row: str) -> None:
    titles = [text.splitlines()[0].removeprefix("# ").split(", ") for text in PAGES.values()]
    assert sum(row in title for title in titles) == 1


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_it_must(path: Path) -> None:
    text = PAGES[path]
    assert re.search(r"^    \S.* = ", text, flags=re.MULTILINE), "no formula"
    assert all(f"- **{word}" in text for word in ("Source:", "Here:"))
    assert re.search(r"- \*\*(Differences from|Our additions)", text)
    for name in re.findall(r"`((?:cf|model|fusion|prompts)/\w+\.py)`", text):
        assert (ROOT / "src" / "ccf_llm" / name).is_file(), name
    assert set(text.splitlines()[0].removeprefix("# ").split(", ")) <= set(ROWS)
