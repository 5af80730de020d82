"""Nothing that is loaded runs code, and no file makes more memory than it fills."""

import ast
import json
import pickle
import re
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import tiny
from ccf_llm.cf.kinds import load_cf
from ccf_llm.cf.mf import MF
from ccf_llm.errors import CCFError
from ccf_llm.io.tensors import read_tensors
from ccf_llm.llm.base import base_config, load_tokenizer
from ccf_llm.llm.source import ModelSource, resolve_model

SRC = Path(__file__).parents[1] / "src"
CALLS = {
    path.relative_to(SRC).as_posix(): [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    for path in SRC.rglob("*.py")
}


def changed(folder: Path, name: str, **values: object) -> ModelSource:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return ModelSource("mine", folder, "", "")


def test_no_module_reads_pickle_or_lets_others_run_code() -> None:
    unsafe = re.compile(
        r"(pickle|joblib|torch|dill|cloudpickle|shelve)\.(load|loads|open)|eval|exec|yaml\.(unsafe_)?load"
    )
    for path, calls in CALLS.items():
        for call in calls:
            name = ast.unparse(call.func)
            given = {key.arg: ast.unparse(key.value) for key in call.keywords}
            assert not unsafe.fullmatch(name), f"{path}:{call.lineno}"
            if name == "np.load":
                assert given["allow_pickle"] == "False", f"{path}:{call.lineno}"
            if name.endswith(".from_pretrained"):
                assert {"SAFELY", "source"} & {given.get(None)}, f"{path}:{call.lineno}"
            assert given.get("trust_remote_code", "False") == "False", f"{path}:{call.lineno}"


def test_nothing_is_decided_by_the_clock_on_the_wall() -> None:
    """It may jump: lengths of time are `monotonic`, events go by their number; two records tell when they were made."""
    named = {
        path
        for path, calls in CALLS.items()
        for call in calls
        if ast.unparse(call.func) in ("time.time", "datetime.now")
    }
    assert named == {"ccf_llm/llm/terms.py", "ccf_llm/experiments/circumstances.py"}


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('pickle was run')",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_pickled_weights_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(pickle.dumps(Evil()))
    if name == "model.safetensors":
        with pytest.raises(CCFError, match="cut or damaged"):
            read_tensors(tmp_path / name)
    else:
        with pytest.raises(CCFError, match="no safetensors weights, and pickled ones are not read"):
            resolve_model(str(tmp_path))


def test_code_of_a_model_is_refused_and_nobody_is_asked(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write_llm(tmp_path / "llm")
    (folder / "evil.py").write_text("raise SystemExit('its code was run')")
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("asked"))
    source = changed(folder, "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    with pytest.raises(CCFError, match=r"llm\.model mine: cannot be loaded"):
        base_config(source)
    source = changed(folder, "tokenizer_config.json", tokenizer_class="E", auto_map={"AutoTokenizer": ["evil.E", None]})
    with pytest.raises(CCFError, match=r"llm\.model mine: cannot be loaded"):
        load_tokenizer(source)


@pytest.mark.parametrize("values", [{"num_hidden_layers": 10**9}, {"hidden_size": 10**8}, {"vocab_size": 10**12}])
def test_a_base_model_larger_than_its_files_is_refused(values: dict[str, int], tmp_path: Path) -> None:
    source = changed(tiny.write_llm(tmp_path / "llm"), "config.json", **values)
    with pytest.raises(CCFError, match=r"llm\.model mine: cannot be loaded \("):
        base_config(source)


@pytest.mark.parametrize("values", [{"n_users": 10**12}, {"n_items": 10**12}, {"config": {"dim": 10**9}}])
def test_a_cf_model_larger_than_its_files_is_refused(values: dict[str, int], tiny_mf: MF, tmp_path: Path) -> None:
    tiny_mf.save(tmp_path / "cf")
    changed(tiny.unseal(tmp_path / "cf"), "cf.json", **values)
    with pytest.raises(CCFError, match=r"cf\.safetensors: does not hold a mf model"):
        load_cf(tmp_path / "cf")


@pytest.mark.parametrize("size", [2**62, 10**6])
def test_a_header_that_promises_more_than_the_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"x": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    for length in (len(header), 2**63 - 1):
        path.write_bytes(struct.pack("<Q", length) + header + b"\0" * 16)
        with pytest.raises(CCFError, match=r"x\.safetensors: cut or damaged"):
            read_tensors(path)
    save_file({"x": torch.ones(4)}, path)
    assert read_tensors(path)["x"].sum() == 4
