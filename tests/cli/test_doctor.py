import json
import subprocess
import sys
from pathlib import Path

import pytest

from ccf_llm.cli.doctor import doctor
from ccf_llm.llm.terms import GEMMA, VARIABLE


def test_it_names_what_is_missing_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    doctor(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["torch"].startswith("2.13.0")
    assert report["cache"]["data"] == {"ml-100k": False}
    assert report["to_do"]["ml-100k"] == "ccf-llm data fetch ml-100k"
    assert isinstance(report["device"]["native_bf16"], bool)
    assert "smollm2-135m" in report["to_do"]
    assert list(tmp_path.iterdir()) == []  # it only looks


def test_a_model_with_terms_is_offered_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    doctor(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["cache"]["models"] == {"smollm2-135m": False, "gemma3-270m": False}
    assert report["cache"]["terms"]["gemma3-270m"].startswith(f"not accepted: {GEMMA.title} ({GEMMA.url}")
    assert "cf.prior.words: sentences+ngrams+llm:gemma3-270m" in report["cache"]["terms"]["gemma3-270m"]
    assert "gemma3-270m" not in report["to_do"]  # nobody has to have it
    monkeypatch.setenv(VARIABLE, "gemma")
    doctor(as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["cache"]["terms"] == {"gemma3-270m": f"accepted: {GEMMA.title}"}
    assert report["to_do"]["gemma3-270m"].startswith("comes by itself on first use (238 MB, once")
    assert list(tmp_path.iterdir()) == []


def test_it_prints_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(as_json=False)
    assert "native bf16" in capsys.readouterr().out


def test_help_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys, ccf_llm.cli; print([name for name in ('torch', 'transformers', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
