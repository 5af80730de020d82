"""The Python examples of docs/retrievers.md run, in order, on a small data set."""

import re
from pathlib import Path

import numpy as np
import pytest

import tiny

PAGE = Path(__file__).parents[2] / "docs" / "retrievers.md"


def test_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccf_llm.data.named.open_dataset", lambda name: tiny.make_dataset())
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    words = np.random.default_rng(0).normal(size=(tiny.N_ITEMS + 3, 6)).astype(np.float32)
    given = {"vectors": words[: tiny.N_ITEMS + 1], "further": words[-2:]}
    exec(compile("\n".join(blocks), "docs/retrievers.md", "exec"), given)
    assert given["scores"].shape == (len(given["asked"].histories), tiny.N_ITEMS)
