"""Saved folders tell a changed byte, wherever it is."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from ccf_llm.cf.ease import EASE
from ccf_llm.cf.kinds import load_cf, load_retriever
from ccf_llm.cf.mf import MF
from ccf_llm.cf.settings import EASEConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import likes_matrix
from ccf_llm.errors import CCFError
from ccf_llm.experiments.trained import TrainedOn
from ccf_llm.io.files import read_json
from ccf_llm.io.integrity import MANIFEST, check_folder, find_damage, sealed_folder
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.model.store import load_model, save_model
from ccf_llm.training.checkpoint import Checkpoint, Progress

Load = Callable[[Path], Any]


def dataset(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    data.save(folder)
    return Dataset.load


def cf(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    mf.save(folder)
    return load_cf


def retriever(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    EASE.fit(likes_matrix(data, "train"), config=EASEConfig(dim=4)).save(folder)
    return load_retriever


def trained_on(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    TrainedOn.of(data).save(folder)
    return TrainedOn.load


def checkpoint(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    layer = torch.nn.Linear(30, 2)
    Checkpoint(folder, "key").save(
        Progress("key"), dict(layer.named_parameters()), {}, torch.optim.AdamW(layer.parameters())
    )
    return lambda path: Checkpoint(path, "key").progress()


def model(folder: Path, data: Dataset, mf: MF, network: CCFNetwork) -> Load:
    save_model(network, data.user_vocabulary, data.items, ModelInfo(details=("genres",)), folder)
    return load_model


@pytest.mark.parametrize("make", [dataset, cf, retriever, trained_on, checkpoint, model])
def test_a_bit_that_flips_anywhere_is_told_with_the_file(
    make: Callable[[Path, Dataset, MF, CCFNetwork], Load],
    tiny_data: Dataset,
    tiny_mf: MF,
    make_network: Callable[..., CCFNetwork],
    tmp_path: Path,
) -> None:
    load = make(tmp_path / "sound", tiny_data, tiny_mf, make_network() if make is model else None)  # type: ignore[arg-type]
    assert load(tmp_path / "sound") is not None
    files = [path for path in (tmp_path / "sound").rglob("*") if path.is_file() and path.suffix != ".md"]
    assert len(files) > 2
    for path in files:
        content = path.read_bytes()
        for place in (0, 7, len(content) // 3, len(content) // 2, len(content) - 9, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            with pytest.raises(CCFError, match=path.parent.name) as fault:
                load(tmp_path / "sound")
            assert "\n" not in str(fault.value)
            assert path.name in str(fault.value) or path.name == MANIFEST
        path.write_bytes(content[:-9])
        with pytest.raises(CCFError):
            load(tmp_path / "sound")
        path.write_bytes(content)
    assert load(tmp_path / "sound") is not None
    shutil.copytree(tmp_path / "sound", tmp_path / "moved")
    assert load(tmp_path / "moved") is not None
    assert load(tiny.unseal(tmp_path / "moved")) is not None  # one of before there were checksums


def test_the_manifest_holds_every_file_and_those_inside_by_their_own(tmp_path: Path) -> None:
    with sealed_folder(tmp_path / "out", {"made": "here"}) as folder:
        (folder / "plain" / "deep").mkdir(parents=True)
        (folder / "plain" / "deep" / "a").write_text("a")
        with sealed_folder(folder / "own") as inner:
            (inner / "b").write_text("b")
    told = read_json(tmp_path / "out" / MANIFEST)
    assert told["made"] == "here"
    assert list(told["files"]) == ["own/manifest.json", "plain/deep/a"]
    assert told["files"]["plain/deep/a"]["bytes"] == 1
    assert find_damage(tmp_path / "out", {"made": "elsewhere"}) == f"{tmp_path / 'out'}: made from something else"
    (tmp_path / "out" / "plain" / "deep" / "a").unlink()
    with pytest.raises(CCFError, match=r"deep/a: no such file; make the folder again \(if the change was meant, del"):
        check_folder(tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_text('{"files": []}')
    with pytest.raises(CCFError, match=r"manifest\.json: not a manifest; make the folder again"):
        check_folder(tmp_path / "out")
