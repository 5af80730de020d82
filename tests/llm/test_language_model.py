import re
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ccf_llm.errors import CCFError
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.runtime import choose_device, choose_dtype, has_native_bf16
from ccf_llm.llm.settings import LLMConfig, LoRAConfig
from ccf_llm.llm.source import ModelSource, resolve_model


@pytest.fixture
def source(tiny_llm: Path) -> ModelSource:
    return resolve_model(str(tiny_llm))


@pytest.fixture
def tied(tmp_path: Path) -> ModelSource:
    """Input and output embeddings share one table."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "tied")
    return resolve_model(str(tmp_path / "tied"))


@pytest.fixture
def renamed(tied: ModelSource) -> ModelSource:
    """Files whose weights have the names of the body alone; transformers finds them all the same."""
    file = tied.path / "model.safetensors"
    weights = {name.removeprefix("model."): value for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    return tied


def test_no_text_names_a_control_token_of_the_tokenizer(tiny_llm: Path, tmp_path: Path) -> None:
    """Not even one that is not marked as special, as Gemma's `<start_of_image>` is not. Line breaks stay."""
    marked = AutoTokenizer.from_pretrained(tiny_llm)
    marked.add_tokens(["<start_of_image>", "\n\n"])
    marked.save_pretrained(tmp_path / "llm")
    shutil.copy(tiny_llm / "config.json", tmp_path / "llm")
    shutil.copy(tiny_llm / "model.safetensors", tmp_path / "llm")
    tokenizer = load_tokenizer(resolve_model(str(tmp_path / "llm")))
    encode = partial(tokenizer.encode, add_special_tokens=False, split_special_tokens=True)
    control = {i for i, token in marked.added_tokens_decoder.items() if token.content.strip()}
    assert len(control) == 4
    for token in sorted(marked.get_added_vocab()):
        if token.strip():
            assert not control & set(encode(f"red{token} green"))
            assert tokenizer.decode(encode(f"red{token} green")) == f"red{token} green"
    assert marked.convert_tokens_to_ids("\n\n") in encode("red\n\ngreen")


def test_the_score_is_the_difference_of_two_logits(source: ModelSource) -> None:
    """Of transformers' own causal model, over the same ids."""
    model = LanguageModel(source, torch.float32, LoRAConfig(), seed=0).eval()
    model.set_answers(7, 9)
    ids = torch.arange(20, 32)[None]
    with torch.inference_mode():
        scores = model.answer(model(model.embeddings(ids), torch.arange(12), None)[0, [11, 5]])
        logits = LlamaForCausalLM.from_pretrained(source.path)(ids).logits
    expected = torch.stack([logits[0, 11, 7] - logits[0, 11, 9], logits[0, 5, 7] - logits[0, 5, 9]])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["source", "tied"])
def test_in_bf16_embeddings_head_and_adapter_stay_fp32(name: str, request: pytest.FixtureRequest) -> None:
    found: ModelSource = request.getfixturevalue(name)
    model = LanguageModel(found, torch.bfloat16, LoRAConfig(rank=2), seed=0)
    model.set_answers(3, 5)
    rows = LlamaForCausalLM.from_pretrained(found.path).lm_head.weight
    torch.testing.assert_close(model.head, (rows[3].double() - rows[5].double()).detach(), rtol=0, atol=0)
    assert model.dtype == torch.bfloat16
    assert model.embeddings.weight.dtype == torch.float32
    assert {weight.dtype for weight in model.adapter().values()} == {torch.float32}
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("name", ["source", "tied", "renamed"])
def test_in_bf16_the_body_is_the_fp32_one_rounded(name: str, request: pytest.FixtureRequest) -> None:
    found: ModelSource = request.getfixturevalue(name)
    rounded, exact = (LanguageModel(found, dtype, LoRAConfig(), seed=0) for dtype in (torch.bfloat16, torch.float32))
    expected = exact.body.to(torch.bfloat16).state_dict()
    own = rounded.body.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(weight.bfloat16(), expected[name]) for name, weight in own.items())
    assert torch.equal(rounded.embeddings.weight, exact.embeddings.weight)
    assert torch.equal(rounded.output_rows, exact.output_rows)
    assert not torch.equal(exact.embeddings.weight, exact.embeddings.weight.bfloat16().float())


ARCHITECTURES = {
    "llama": {"num_hidden_layers": 3},
    "gemma3_text": {
        "num_hidden_layers": 3,
        "head_dim": 8,
        "layer_types": [*["sliding_attention"] * 2, "full_attention"],
    },
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
@torch.no_grad()
def test_the_first_layers_are_those_of_a_body_cut_by_hand(kind: str, tmp_path: Path) -> None:
    """Where the configuration says something of each layer, too."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **{**sizes, "num_key_value_heads": 1, **ARCHITECTURES[kind]})
    whole = AutoModelForCausalLM.from_config(config).eval()
    whole.save_pretrained(tmp_path)
    model = LanguageModel(resolve_model(str(tmp_path)), torch.float32, LoRAConfig(rank=2), seed=0, layers=2).eval()
    body = whole.base_model
    layers = body.h if kind == "gpt2" else body.layers
    ids = torch.arange(1, 13)[None]
    uncut = body(ids).last_hidden_state
    del layers[2:]
    body.config.num_hidden_layers = 2
    expected = body(ids).last_hidden_state
    found = model(body.get_input_embeddings()(ids), torch.arange(12), None)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert float((found - uncut).abs().max()) > 1e-3
    kept = {int(number) for name in model.adapter() for number in re.findall(r"\.(?:layers|h)\.(\d+)\.", name)}
    assert kept == {0, 1}
    assert len(list(body.parameters())) == sum("lora_" not in name for name, _ in model.body.named_parameters())


def test_layers_that_the_model_lacks_are_refused(source: ModelSource) -> None:
    assert LanguageModel(source, torch.float32, LoRAConfig(), seed=0, layers=2).layers == 2
    with pytest.raises(CCFError, match=r"llm\.layers: 3, but .* has 2 layers; give at most 2, or null") as fault:
        LanguageModel(source, torch.float32, LoRAConfig(), seed=0, layers=3)
    assert "\n" not in str(fault.value)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        LLMConfig(layers=0)


def test_the_adapter_goes_where_it_is_told(source: ModelSource) -> None:
    model = LanguageModel(source, torch.float32, LoRAConfig(targets=("q_proj", "v_proj"), rank=2), seed=0)
    layers = {re.search(r"(\w+)\.lora_", name)[1] for name in model.adapter()}  # type: ignore[index]
    assert layers == {"q_proj", "v_proj"}
    assert all(2 in weight.shape for weight in model.adapter().values())
    assert model.adapter_for_saving().keys() == {
        name.replace(".default", "") for name, _ in model.body.named_parameters() if "lora_" in name
    }


def test_nothing_is_printed(source: ModelSource, capfd: pytest.CaptureFixture[str]) -> None:
    LanguageModel(source, torch.float32, LoRAConfig(), seed=0)
    assert capfd.readouterr() == ("", "")


def test_layers_that_do_not_exist_are_named(source: ModelSource) -> None:
    with pytest.raises(CCFError, match=r"llm\.lora\.targets: .*x_proj.*; name layers of this model") as fault:
        LanguageModel(source, torch.float32, LoRAConfig(targets=("x_proj",)), seed=0)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("damaged", ["model.safetensors", "config.json"])
def test_a_damaged_base_model_is_named(tied: ModelSource, damaged: str) -> None:
    path = tied.path / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CCFError, match=r"tied: cannot be loaded \(.*\); get it again") as fault:
        LanguageModel(tied, torch.float32, LoRAConfig(), seed=0)
    assert "\n" not in str(fault.value)


def test_devices_and_precision() -> None:
    cpu = choose_device("cpu")
    assert cpu.type == "cpu"
    assert choose_dtype("float32", cpu) == torch.float32
    assert choose_dtype("bfloat16", cpu) == torch.bfloat16
    assert (choose_dtype("auto", cpu) == torch.bfloat16) == has_native_bf16(cpu)
    for name in ("cuda:99", "nonsense"):
        with pytest.raises(CCFError, match=rf"llm\.device: no device '{name}' here; use cpu or auto"):
            choose_device(name)
