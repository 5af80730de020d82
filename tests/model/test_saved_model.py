import json
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from ccf_llm.cf.mf import MF
from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.llm.source import ALIASES
from ccf_llm.model.build import build_network
from ccf_llm.model.card import model_card
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import ModelInfo
from ccf_llm.model.store import load_model, save_model
from ccf_llm.prompts.details import Detail
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.scoring import SharedPrefixScorer


@pytest.fixture(scope="module")
def network(make_network: Callable[..., CCFNetwork]) -> CCFNetwork:
    network = tiny.stir(make_network())
    network.blend.weights.copy_(network.blend.weights.new_tensor([0.7, 0.4, -0.1]))
    return network


INFO = ModelInfo(details=("genres",), dtype="float32", training={"name": "tiny"})


@pytest.fixture
def saved(network: CCFNetwork, tiny_data: Dataset, tmp_path: Path) -> Path:
    save_model(network, tiny_data.user_vocabulary, tiny_data.items, INFO, tmp_path / "model")
    return tiny.unseal(tmp_path / "model")


def test_a_loaded_model_scores_the_same(saved: Path, network: CCFNetwork, tiny_data: Dataset, tmp_path: Path) -> None:
    rows = tiny_data.rows("test")
    expected = SharedPrefixScorer(network).score(rows)
    assert expected.std() > 0.1
    loaded, users, items, _ = load_model(saved)
    np.testing.assert_array_equal(SharedPrefixScorer(loaded).score(rows), expected)
    assert users == tiny_data.user_vocabulary
    assert items.equals(tiny_data.items)
    assert not loaded.training
    model = CCFLLM.load(saved)
    model.save(tmp_path / "again")
    np.testing.assert_array_equal(CCFLLM.load(tmp_path / "again").score_rows(rows), model.score_rows(rows))


@pytest.mark.parametrize("variant", ["scalar", "average", "cf_only", "semantic"])
def test_every_variant_comes_back(
    variant: str, make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    network = tiny.stir(make_network(FusionConfig(variant=variant, hidden=16)))  # type: ignore[arg-type]
    rows = tiny_data.rows("test").take(slice(0, 20))
    save_model(network, tiny_data.user_vocabulary, tiny_data.items, INFO, tmp_path / "model")
    loaded = load_model(tmp_path / "model")[0]
    np.testing.assert_array_equal(SharedPrefixScorer(loaded).score(rows), SharedPrefixScorer(network).score(rows))


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_model_remembers_how_its_base_was_kept(
    kind: str, make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    network = tiny.stir(make_network(quantize=kind))
    rows = tiny_data.rows("test").take(slice(0, 20))
    save_model(network, tiny_data.user_vocabulary, tiny_data.items, INFO, tmp_path / "model")
    assert f"kept in {kind}" in (tmp_path / "model" / "README.md").read_text()
    loaded = load_model(tmp_path / "model")[0]
    assert loaded.llm.quantization == kind
    np.testing.assert_array_equal(SharedPrefixScorer(loaded).score(rows), SharedPrefixScorer(network).score(rows))


def test_the_first_layers_come_back_alone(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path: Path
) -> None:
    network = tiny.stir(make_network(layers=1))
    rows = tiny_data.rows("test").take(slice(0, 20))
    save_model(network, tiny_data.user_vocabulary, tiny_data.items, INFO, tmp_path / "model")
    adapter = load_file(tmp_path / "model" / "adapter" / "adapter_model.safetensors")
    assert adapter
    assert all(".layers.0." in name for name in adapter)
    assert "its first 1 layers" in (tmp_path / "model" / "README.md").read_text()
    loaded = load_model(tmp_path / "model")[0]
    assert loaded.llm.layers == loaded.llm.body.config.num_hidden_layers == 1
    np.testing.assert_array_equal(SharedPrefixScorer(loaded).score(rows), SharedPrefixScorer(network).score(rows))


def test_a_folder_from_before_layers_has_them_all(saved: Path, network: CCFNetwork, tiny_data: Dataset) -> None:
    change(saved / "config.json", lambda values: values.pop("layers"))
    loaded, rows = load_model(saved)[0], tiny_data.rows("test").take(slice(0, 9))
    np.testing.assert_array_equal(SharedPrefixScorer(loaded).score(rows), SharedPrefixScorer(network).score(rows))
    change(saved / "config.json", lambda values: values.update(layers=3))
    refused(saved, r"llm\.layers: 3, but .* has 2 layers; give at most 2")


def test_only_harmless_files(saved: Path, tiny_llm: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".parquet", ".md"}
    weights = sum(path.stat().st_size for path in files if path.suffix == ".safetensors")
    assert weights < (tiny_llm / "model.safetensors").stat().st_size * 2
    assert not any("embed" in name for name in load_file(saved / "adapter" / "adapter_model.safetensors"))
    card = (saved / "README.md").read_text()
    assert "SHA-256" in card
    assert "24 items" in card
    assert "not to decide anything about people" in card


def test_the_terms_of_a_base_model_stand_on_the_card(
    saved: Path, tiny_llm: Path, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CCFLLM.load(saved)
    assert "subject to" not in (saved / "README.md").read_text()
    monkeypatch.setitem(ALIASES, str(tiny_llm), ALIASES["gemma3-270m"])
    model.save(saved)
    terms = "subject to the Gemma Terms of Use found at https://ai.google.dev/gemma/terms"
    assert terms in (saved / "README.md").read_text()
    # Where another base model answers, and Gemma reads for the prior alone.
    monkeypatch.delitem(ALIASES, str(tiny_llm))
    monkeypatch.setattr(type(model.network.cf), "reads_words", "sentences+llm:gemma3-270m")
    card = model_card(model.network, model.info, 24)
    assert "Reads words by gemma3-270m too" in card
    assert terms in card


def test_another_base_model_is_refused(saved: Path, tiny_llm: Path) -> None:
    change(saved / "config.json", lambda values: values["base_model"].update(checksum="sha256:" + "0" * 64))
    refused(saved, r"was trained on .* checksum sha256:000000000000, .* this machine's has sha256:(?!0{12})")


@pytest.mark.parametrize(
    "name", ["adapter/adapter_model.safetensors", "fusion.safetensors", "cf/cf.safetensors", "items.parquet"]
)
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_file_is_named(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    refused(saved, path.name)


def test_a_hub_model_is_found_again_after_a_commit_upstream(
    tiny_llm: Path, tiny_data: Dataset, tiny_mf: MF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = {"c0ffee": tiny_llm}

    def snapshot_download(repository: str, *, revision: str | None, **options: object) -> str:
        commit = revision or list(hub)[-1]
        link = tmp_path / commit
        if not link.exists():
            link.symlink_to(hub[commit])
        return str(link)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    of_hub = build_network(
        tiny_data.items,
        tiny_mf,
        llm=LLMConfig(model="org/model", dtype="float32", device="cpu"),
        prompt=PromptConfig(),
        fusion=FusionConfig(hidden=16),
        details=("genres",),
        seed=0,
    )
    rows = tiny_data.rows("test").take(slice(0, 9))
    expected = SharedPrefixScorer(of_hub).score(rows)
    save_model(of_hub, tiny_data.user_vocabulary, tiny_data.items, INFO, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["base_model"]["pinned"] == "org/model@c0ffee"
    hub["newest"] = tmp_path / "nothing at all"
    np.testing.assert_array_equal(SharedPrefixScorer(load_model(tmp_path / "model")[0]).score(rows), expected)


def test_settings_that_are_cut_or_foreign_are_named(saved: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nothing", r"config\.json: no such file")
    path = saved / "config.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(saved, "config.json: not valid JSON")
    for spoil, message in (
        (lambda values: values.update(format=9), "not a model of format 2"),
        (lambda values: values.pop("base_model"), "base_model: Field required"),
        (lambda values: values["fusion"].update(variant="x"), r"fusion\.variant: "),
        (lambda values: values["info"].update(colour=1), r"info\.colour: Extra inputs are not permitted"),
        (lambda values: values["vocabularies"].update(users="0"), r"users\.parquet: not the users that this model"),
    ):
        path.write_bytes(whole)
        change(path, spoil)
        refused(saved, message)


def test_weights_of_another_shape_or_name_are_named(saved: Path) -> None:
    path = saved / "fusion.safetensors"
    weights = load_file(path)
    save_file({**weights, "user.cf_mean": weights["user.cf_mean"][:2]}, path)
    refused(saved, r"'user\.cf_mean' has shape \(2,\), not \(9,\)")
    save_file({name: value for name, value in weights.items() if name != "user.cf_mean"}, path)
    refused(saved, r"does not fit this model \(user\.cf_mean\)")


def test_a_prompt_longer_than_the_context_is_refused(saved: Path) -> None:
    change(saved / "config.json", lambda values: values["prompt"]["history"].update(tokens=4000))
    refused(saved, r"prompt\.history\.tokens: 4000 does not fit the model's context of 2048 tokens")


def test_a_column_that_items_lack_is_named(saved: Path) -> None:
    items = pl.read_parquet(saved / "items.parquet")
    items.drop("genres").write_parquet(saved / "items.parquet")
    refused(saved, r"data\.details: items have no column 'genres'; they have item_id, title")


def change(path: Path, how: Callable[[dict[str, dict[str, object]]], object]) -> None:
    values = json.loads(path.read_text())
    how(values)
    path.write_text(json.dumps(values))


def refused(folder: Path, message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        load_model(folder)
    assert "\n" not in str(fault.value)


def test_items_need_no_words_but_their_titles(tiny_llm: Path, tiny_data: Dataset, tiny_mf: MF) -> None:
    network = build_network(
        tiny_data.items,
        tiny_mf,
        llm=LLMConfig(model=str(tiny_llm), dtype="float32", device="cpu"),
        prompt=PromptConfig(),
        fusion=FusionConfig(hidden=16),
        details=(),
        seed=0,
    )
    scores = SharedPrefixScorer(network).score(tiny_data.rows("test"))
    assert np.isfinite(scores).all()


def test_what_is_told_of_items_comes_back(tiny_llm: Path, tiny_data: Dataset, tiny_mf: MF, tmp_path: Path) -> None:
    """Words around columns and budgets are the model's own; a new item is told like the others."""
    about = Detail(column="about", before="It is ", most=4)
    items = tiny_data.items.with_columns(about=pl.lit("red rain, iron night. The end of the world."))
    network = build_network(
        items,
        tiny_mf,
        llm=LLMConfig(model=str(tiny_llm), dtype="float32", device="cpu"),
        prompt=PromptConfig(),
        fusion=FusionConfig(hidden=16, details=True),
        details=("genres", about),
        seed=0,
    )
    info = ModelInfo(details=("genres", about), dtype="float32")
    save_model(network, tiny_data.user_vocabulary, items, info, tmp_path / "model")
    model = CCFLLM.load(tmp_path / "model")
    assert model.info.details == ("genres", about)
    assert model.details == ("genres", "about")
    told = network.encoder.details[1]
    assert "It is red" in told
    assert "world" not in told
    assert told in model.network.encoder.text(1, details=True)
    assert torch.equal(model.network.semantic, network.semantic)
    new = items.head(1).with_columns(item_id=pl.lit("new"))
    grown = model.with_items(new)
    assert grown.network.encoder.details[-1] == told
    torch.testing.assert_close(grown.network.semantic[-1], network.semantic[1])
