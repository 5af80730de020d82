from pathlib import Path

import pytest

from ccf_llm.errors import CCFError
from ccf_llm.io.cache import cache_folder, scratch_folder


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("CCF_LLM_CACHE", "")
    assert cache_folder().name == "ccf-llm"


def test_scratch_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as scratch:
        (scratch / "file").write_text("x")
        assert scratch.parent == tmp_path / "new"
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CCFError, match="set CCF_LLM_CACHE"), scratch_folder(tmp_path / "file" / "cache"):
        pass
