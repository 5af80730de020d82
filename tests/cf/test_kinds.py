import json
from pathlib import Path

import pytest

from ccf_llm.cf.kinds import load_cf, load_retriever
from ccf_llm.cf.mf import MF
from ccf_llm.errors import CCFError


def test_refuses_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"cf\.json: no such file"):
        load_cf(tmp_path)


def test_refuses_other_kinds_and_formats(tmp_path: Path) -> None:
    settings = tmp_path / "cf.json"
    settings.write_text(json.dumps({"format": 2, "kind": "oracle"}))
    with pytest.raises(CCFError, match="'oracle' is not one of mean, mf, lightgcn, sasrec, din"):
        load_cf(tmp_path)
    with pytest.raises(CCFError, match="of kind 'oracle', not 'mf'"):
        MF.load(tmp_path)
    settings.write_text(json.dumps({"format": 9, "kind": "mf"}))
    with pytest.raises(CCFError, match="format 2"):
        load_cf(tmp_path)


def test_a_model_of_labels_is_no_retriever(tmp_path: Path) -> None:
    (tmp_path / "cf.json").write_text(json.dumps({"format": 2, "kind": "mf"}))
    with pytest.raises(CCFError, match="'mf' is not one of popularity, knn, ease, l3ae, als"):
        load_retriever(tmp_path)
