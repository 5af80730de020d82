from pathlib import Path

import pytest

from ccf_llm.io import memory
from ccf_llm.io.memory import free_memory


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = (tmp_path / "memory.max", tmp_path / "missing")
    monkeypatch.setattr(memory, "LIMITS", limits)
    limits[0].write_text("1000000\n")
    assert free_memory() == 1_000_000
    limits[0].write_text("max\n")  # none
    free = free_memory()
    assert free is not None
    assert free > 1_000_000
