"""A trained model on disk: a folder of safetensors, JSON and Parquet. The base model is named, never copied."""

from pathlib import Path

import polars as pl

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.kinds import load_cf
from ccf_llm.data.vocabulary import Vocabulary, vocabulary_of
from ccf_llm.errors import CCFError
from ccf_llm.io.files import write_json
from ccf_llm.io.integrity import check_folder, sealed_folder
from ccf_llm.io.parquet import read_parquet, write_parquet
from ccf_llm.io.tensors import fill, read_tensors, write_tensors
from ccf_llm.llm.source import resolve_model
from ccf_llm.model.build import build_network
from ccf_llm.model.card import model_card
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import BaseModelRecord, ModelInfo, SavedModel, read_saved
from ccf_llm.prompts.settings import PromptConfig

USER_WORDS = {"user_id": pl.String, "words": pl.String}
"""Columns of what is told of users, in words: not as their columns hold it."""


def save_model(network: CCFNetwork, users: Vocabulary, items: pl.DataFrame, info: ModelInfo, folder: Path) -> None:
    """Write a trained model, atomically."""
    encoder = network.encoder
    saved = SavedModel(
        base_model=BaseModelRecord.of(network.llm.source),
        layers=network.llm.layers,
        quantize=network.llm.quantization,
        lora=network.llm.lora.model_dump(mode="json"),
        prompt=PromptConfig(template=encoder.template, history=network.budget),
        fusion=network.fusion_config,
        shots=encoder.shots,
        vocabularies={"users": users.sha256, "items": vocabulary_of(items).sha256},
        info=info,
    )
    with sealed_folder(folder) as temporary:
        write_json(temporary / "config.json", saved.model_dump(mode="json"))
        network.llm.body.save_pretrained(temporary / "adapter", save_embedding_layers=False)
        (temporary / "adapter" / "README.md").unlink(missing_ok=True)  # PEFT's template; the model card stands above
        write_tensors(network.fusion_state(), temporary / "fusion.safetensors")
        if prompt := network.part("prompt"):
            write_tensors(prompt, temporary / "prompt.safetensors")
        network.cf.save(temporary / "cf")
        users.save(temporary / "users.parquet")
        write_parquet(items, temporary / "items.parquet")
        if info.user_details:
            words = encoder.users[1:] or [""] * len(users)
            told = pl.DataFrame({"user_id": users.ids, "words": words}, schema=USER_WORDS)
            write_parquet(told.filter(pl.col("words") != ""), temporary / "user_words.parquet")
        (temporary / "README.md").write_text(model_card(network, info, len(items)), encoding="utf-8")


def load_model(folder: Path, *, device: str = "auto") -> tuple[CCFNetwork, Vocabulary, pl.DataFrame, ModelInfo]:
    """Read what `save_model` wrote: the network, the users' vocabulary, the items and what else is known of the model.

    Raises:
        CCFError: no model there, a file cut in half, another format, parts that do not belong together, or another base
            model than it was trained on.
    """
    check_folder(folder)
    saved = read_saved(folder / "config.json")
    source = resolve_model(saved.base_model.pinned)
    if source.checksum != saved.base_model.checksum:
        raise CCFError(
            f"{folder}: was trained on {saved.base_model.pinned} with checksum {_short(saved.base_model.checksum)}, "
            f"but this machine's has {_short(source.checksum)}; use the same base model or train again"
        )
    users, items = Vocabulary.load(folder / "users.parquet"), read_parquet(folder / "items.parquet")
    cf = load_cf(folder / "cf")
    if not isinstance(cf, CFModel):
        raise CCFError(f"{folder / 'cf'}: holds a model without embeddings; train the model again")
    _check_vocabularies(folder, saved, cf, users, items)
    network = build_network(
        items,
        cf,
        llm=saved.llm(device),
        source=source,
        prompt=saved.prompt,
        fusion=saved.fusion,
        details=saved.info.details,
        seed=0,
        users=_user_words(folder / "user_words.parquet", users) if saved.info.user_details else (),
        shots=saved.shots,
    )
    for name, weights in (
        ("adapter/adapter_model.safetensors", network.llm.adapter_for_saving()),
        ("fusion.safetensors", network.fusion_state()),
        ("prompt.safetensors", network.part("prompt")),
    ):
        if weights:  # most templates have no learned prompt
            fill(weights, read_tensors(folder / name), folder / name, remedy="train it again")
    return network.eval(), users, items, saved.info


def _check_vocabularies(folder: Path, saved: SavedModel, cf: CFModel, users: Vocabulary, items: pl.DataFrame) -> None:
    """Weights lie by code: the ids beside them must be those that they were saved with, in their order."""
    for name, ids, known in (("users", users, cf.n_users), ("items", vocabulary_of(items), cf.n_items)):
        if len(ids) != known or saved.vocabularies.get(name, ids.sha256) != ids.sha256:
            raise CCFError(f"{folder / name}.parquet: not the {name} that this model was saved with; save it again")


def _user_words(path: Path, users: Vocabulary) -> list[str]:
    """Words by user code."""
    told = read_parquet(path)
    if dict(told.schema) != USER_WORDS or 0 in (codes := users.encode(told["user_id"])):
        raise CCFError(f"{path}: not what was told of this model's users; save the model again")
    words = [""] * (len(users) + 1)
    for code, text in zip(codes, told["words"], strict=True):
        words[code] = text or ""
    return words


def _short(checksum: str) -> str:
    """Enough of `sha256:...` or `commit:...` to tell two models apart."""
    kind, _, digits = checksum.partition(":")
    return f"{kind}:{digits[:12]}"
