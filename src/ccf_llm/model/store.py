"""A trained model on disk: a folder of safetensors, JSON and Parquet. The base model is named, never copied."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ccf_llm.cf.base import CFModel
from ccf_llm.cf.store import load_cf
from ccf_llm.data.vocabulary import Vocabulary
from ccf_llm.errors import CCFError, one_line
from ccf_llm.experiments.config import LLMConfig, PromptConfig, check_config
from ccf_llm.fusion import FusionConfig
from ccf_llm.io.files import atomic_folder, read_json, write_json
from ccf_llm.io.parquet import read_parquet, write_parquet
from ccf_llm.llm.base import LanguageModel, load_tokenizer
from ccf_llm.llm.runtime import choose_device, choose_dtype, tune_cpu
from ccf_llm.llm.source import ModelSource, resolve_model
from ccf_llm.model.network import CCFNetwork
from ccf_llm.prompts import PromptEncoder, Shot
from ccf_llm.prompts.codes import BinaryCodes

FORMAT = 1
"""Of the folder; raised when an older reader could not read a new one."""


class _BaseModel(BaseModel):
    """Which base model it was trained on, as `ModelSource` tells it."""

    name: str
    checksum: str
    origin: str


class _Saved(BaseModel):
    """What config.json holds."""

    format: int = FORMAT
    version: str
    base_model: _BaseModel
    fusion: FusionConfig
    shots: tuple[Shot, ...] = ()
    run: dict[str, Any]


def build_network(
    items: pl.DataFrame,
    cf: CFModel,
    *,
    llm: LLMConfig,
    prompt: PromptConfig,
    fusion: FusionConfig,
    details: tuple[str, ...],
    seed: int,
    shots: tuple[Shot, ...] = (),
    source: ModelSource | None = None,
    loaded: LanguageModel | None = None,
) -> CCFNetwork:
    """A model with a fresh adapter and fresh fusion over a catalogue.

    `items` has the columns item_id, title and those named in `details`; its row c - 1 is item code c. `shots` are the
    examples of a template that has them. `source` is the base model where it has been found already; None looks for
    `llm.model`. `loaded` is the language model itself, as another network of the same settings has it: it is shared,
    adapter included, and nothing is loaded anew.
    """
    missing = [column for column in details if column not in items.columns]
    if missing:
        raise CCFError(f"data.details: items have no column '{missing[0]}'; they have {', '.join(items.columns)}")
    if loaded is None:
        device = choose_device(llm.device)
        if device.type == "cpu":
            tune_cpu()
        source = source or resolve_model(llm.model)
        loaded = LanguageModel(source, choose_dtype(llm.dtype, device), llm.lora, seed).to(device)
    words = details_of(items, details)
    encoder = PromptEncoder(
        load_tokenizer(loaded.source),
        prompt.template,
        ["", *items["title"].to_list()],
        ["", *words] if words is not None else None,
        shots=shots,
        codes=BinaryCodes(cf) if prompt.template.codes else None,
    )
    _check_context(loaded, prompt)
    network = CCFNetwork(loaded, encoder, cf, fusion, prompt.history, seed)
    return network.to(loaded.head.device)


def details_of(items: pl.DataFrame, details: tuple[str, ...]) -> list[str] | None:
    """The further words of each item, from these of its columns; None where there are no such columns."""
    return [", ".join(word or "" for word in row) for row in items.select(details).iter_rows()] if details else None


def save_model(
    network: CCFNetwork, users: Vocabulary, items: pl.DataFrame, about: dict[str, Any], folder: Path
) -> None:
    """Write a trained model, atomically. `about` is its run's configuration, with its own prompt as the run's."""
    source = network.llm.source
    with atomic_folder(folder) as temporary:
        base_model = _BaseModel(name=source.name, checksum=source.checksum, origin=source.origin)
        saved = _Saved(
            version=version("ccf-llm"),
            base_model=base_model,
            fusion=network.fusion_config,
            shots=network.encoder.shots,
            run=about,
        )
        write_json(temporary / "config.json", saved.model_dump(mode="json"))
        network.llm.body.save_pretrained(temporary / "adapter", save_embedding_layers=False)
        (temporary / "adapter" / "README.md").unlink(missing_ok=True)  # PEFT's template; the model card stands above
        save_file(_plain(network.fusion), temporary / "fusion.safetensors")
        if prompt := network.part("prompt"):
            save_file({name: vectors.detach() for name, vectors in prompt.items()}, temporary / "prompt.safetensors")
        network.cf.save(temporary / "cf")
        users.save(temporary / "users.parquet")
        write_parquet(items, temporary / "items.parquet")
        (temporary / "README.md").write_text(_card(network, about, len(items)), encoding="utf-8")


def load_model(folder: Path, *, device: str = "auto") -> tuple[CCFNetwork, Vocabulary, pl.DataFrame, dict[str, Any]]:
    """Read what `save_model` wrote: the network, the users' vocabulary, the items and the run's configuration.

    Raises:
        CCFError: no model there, a file cut in half, another format, or another base model than it was trained on.
    """
    saved = _read_settings(folder / "config.json")
    run = check_config(saved.run, str(folder / "config.json"))
    source = resolve_model(run.llm.model)
    if source.checksum != saved.base_model.checksum:
        raise CCFError(
            f"{folder}: was trained on {run.llm.model} with checksum {_short(saved.base_model.checksum)}, but this "
            f"machine's has {_short(source.checksum)}; use the same base model or train again"
        )
    items = read_parquet(folder / "items.parquet")
    cf = load_cf(folder / "cf")
    if not isinstance(cf, CFModel):
        raise CCFError(f"{folder / 'cf'}: holds a model without embeddings; train the model again")
    network = build_network(
        items,
        cf,
        llm=run.llm.model_copy(update={"device": device}),
        source=source,
        prompt=run.prompt,
        fusion=saved.fusion,
        details=run.data.details,
        seed=run.seed,
        shots=saved.shots,
    )
    adapter = _read(folder / "adapter" / "adapter_model.safetensors")
    _fill(network.llm.adapter_for_saving(), adapter, folder / "adapter" / "adapter_model.safetensors")
    _fill(_plain(network.fusion), _read(folder / "fusion.safetensors"), folder / "fusion.safetensors")
    if prompt := network.part("prompt"):
        _fill(dict(prompt), _read(folder / "prompt.safetensors"), folder / "prompt.safetensors")
    return network.eval(), Vocabulary.load(folder / "users.parquet"), items, saved.run


def _read_settings(path: Path) -> _Saved:
    settings = read_json(path)
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise CCFError(f"{path}: not a model of format {FORMAT}; train it again with this version")
    try:
        return _Saved.model_validate(settings)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise CCFError(f"{path}: {key}: {fault['msg']}; save the model again") from None


def _short(checksum: str) -> str:
    """Enough of `sha256:...` or `commit:...` to tell two models apart."""
    kind, _, digits = checksum.partition(":")
    return f"{kind}:{digits[:12]}"


def _plain(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in module.state_dict().items()}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CCFError(f"{path}: no such file; save the model again") from None
    except (SafetensorError, OSError) as error:
        raise CCFError(f"{path}: cut or damaged ({one_line(error)}); save the model again") from None


@torch.no_grad()
def _fill(targets: dict[str, Tensor], values: dict[str, Tensor], path: Path) -> None:
    """Copy values into tensors of the same names and shapes."""
    if targets.keys() != values.keys():
        raise CCFError(f"{path}: does not fit this model ({sorted(targets.keys() ^ values.keys())[0]}); train it again")
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise CCFError(
                f"{path}: '{name}' has shape {tuple(values[name].shape)}, not {tuple(target.shape)}; train it again"
            )
        target.copy_(values[name])


def _check_context(llm: LanguageModel, prompt: PromptConfig) -> None:
    context = llm.context
    if context is not None and prompt.history.tokens >= context:
        raise CCFError(
            f"prompt.history.tokens: {prompt.history.tokens} does not fit the model's context of {context} tokens; "
            "lower it"
        )


def _card(network: CCFNetwork, about: dict[str, Any], items: int) -> str:
    """The model card."""
    source = network.llm.source
    return f"""# {about.get("name", "ccf-llm")}: a CCF-LLM recommender

Scores whether a user will like an item: log-odds of Yes after a hybrid prompt of words and slots. The slots hold fused
embeddings of the words and of a collaborative model. Trained with ccf-llm {version("ccf-llm")}.

- Base model (not in this folder): {source.name}, SHA-256 or commit {source.checksum}
- Catalogue: {items} items; known users: {network.cf.n_users}
- Fusion: {network.fusion_config.variant} gate; collaborative model: {network.cf.name}

Read it with `CCFLLM.load(folder)` or `ccf-llm recommend`. Only safetensors, JSON and Parquet are in here.
"""
