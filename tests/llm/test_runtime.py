from pathlib import Path

import pytest
import torch

from ccf_llm.llm.runtime import available_cpus, tune_cpu


@pytest.mark.parametrize(
    ("text", "expected"), [("100000 100000", 1), ("20000 100000", 1), ("max 100000", None), ("", None)]
)
def test_the_quota_of_a_container_counts(text: str, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert available_cpus(tmp_path / "cpu.max") == (expected or available_cpus(tmp_path / "missing"))
    assert available_cpus(tmp_path / "missing") >= 1


def test_tuning_never_raises_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    tune_cpu()
    assert 1 <= torch.get_num_threads() <= before
