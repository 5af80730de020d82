"""What comes with the package says the same of it everywhere; the notebook runs. `.ci/wheel.sh` tries the wheel."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["title"], citation["version"], citation["license"]) == tuple(
        PROJECT[key] for key in ("name", "version", "license")
    )


def test_every_extra_is_explained() -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "install.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == PROJECT["optional-dependencies"].keys() - {"dev"}


def test_what_make_runs_may_write_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    probe = ["--eval", "probe: ; @echo [$$PYTHONDONTWRITEBYTECODE]", "probe"]
    said = subprocess.run(["make", "--silent", *probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.mark.llm
@pytest.mark.slow
def test_the_notebook_runs_and_holds_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((ROOT / "examples" / "books.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    shutil.copytree(ROOT / "examples" / "books", tmp_path / "books")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in code:
        exec("".join(cell["source"]), names)
    assert len(names["recommender"].recommend_for_history(["b09", "b11"], k=5)) == 5
    assert (tmp_path / "runs" / "books-model" / "config.json").is_file()
