"""What a saved model says of itself in config.json: all that inference needs, and what it was made from."""

from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ccf_llm.errors import CCFError
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.io.files import read_json
from ccf_llm.llm.settings import LLMConfig, Quantization
from ccf_llm.llm.source import ModelSource
from ccf_llm.prompts.details import Details
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.shots import Shot
from ccf_llm.prompts.users import UserDetails
from ccf_llm.settings import Settings

FORMAT = 2
"""Raised when an older reader could not read a new folder. Format 1 kept the whole training configuration instead."""


class DataRecord(Settings):
    """The data set that a model was trained on."""

    name: str
    """What people call it."""
    source: str | None = None
    """What `open_dataset` finds it by; None where a program made it."""
    rows: dict[str, int] = Field(default={})
    """How many interactions each part of its split has; nothing where it is not recorded."""
    identity: dict[str, str | None] | None = None
    """Its hashes (`Dataset.identity`); None in models of format 1."""


class ModelInfo(Settings):
    """What a model needs beside its network, and what it was made from."""

    details: Details = ()
    """What is told of items beside their titles."""
    user_details: UserDetails = ()
    """What is told of users; where it is anything, the folder holds `user_words.parquet`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the frozen body computes in (`LLMConfig.dtype`)."""
    memory_mb: int = Field(default=512, ge=16)
    """What the activations of a batch may take while scoring."""
    task: Literal["rating", "ranking"] = "rating"
    """What its score orders: what somebody would like if they met it, or what they choose next."""
    data: DataRecord | None = None
    """None for a model that was put together by hand."""
    training: dict[str, Any] = Field(default={})
    """The configuration that the model was trained with: to be read by people, never validated."""


class BaseModelRecord(Settings):
    """Which base model a model was trained on, as `ModelSource` tells it."""

    name: str
    """As it was asked for."""
    pinned: str
    """What finds exactly this one again: a hub id goes with its commit."""
    checksum: str
    origin: str

    @classmethod
    def of(cls, source: ModelSource) -> "BaseModelRecord":
        """The record of a base model that lies here."""
        return cls(name=source.name, pinned=source.pinned, checksum=source.checksum, origin=source.origin)


class SavedModel(Settings):
    """What config.json holds. A reader of this format refuses fields that it does not know."""

    format: Literal[2] = 2
    version: str = Field(default_factory=lambda: version("ccf-llm"))
    base_model: BaseModelRecord
    layers: int | None = Field(default=None, ge=1)
    """How many layers of the base model there are; None for all."""
    quantize: Quantization | None = Field(default=None, exclude_if=lambda kind: kind is None)
    """How the base model's weights were kept (`LLMConfig.quantize`)."""
    lora: dict[str, Any]
    prompt: PromptConfig
    fusion: FusionConfig
    shots: tuple[Shot, ...] = ()
    vocabularies: dict[str, str] = Field(default={})
    """Hashes of users and items in the order of their codes; none in models of format 1."""
    info: ModelInfo

    def llm(self, device: str) -> LLMConfig:
        """The base model's settings, on a device."""
        values = {"model": self.base_model.pinned, "layers": self.layers, "quantize": self.quantize, "lora": self.lora}
        return LLMConfig.model_validate(values | {"dtype": self.info.dtype, "device": device})


def read_saved(path: Path) -> SavedModel:
    """Read config.json, also one of format 1; a `CCFError` names what is wrong."""
    settings = read_json(path)
    found = settings.get("format") if isinstance(settings, dict) else None
    if found not in (1, FORMAT):
        raise CCFError(f"{path}: not a model of format {FORMAT}; train it again with this version")
    try:
        return SavedModel.model_validate(_from_format_1(settings) if found == 1 else settings)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise CCFError(f"{path}: {key}: {fault['msg']}; save the model again") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise CCFError(f"{path}: lacks a setting ({error}); save the model again") from None


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """What inference needs of a whole training configuration."""
    run, base = values["run"], values["base_model"]
    kind, _, commit = base["checksum"].partition(":")
    pinned = f"{base['origin'].removeprefix('model hub, ')}@{commit}" if kind == "commit" else run["llm"]["model"]
    return {
        "version": values["version"],
        "base_model": base | {"pinned": pinned},
        "lora": run["llm"]["lora"],
        "prompt": run["prompt"],
        "fusion": values["fusion"],
        "shots": values["shots"],
        "info": {
            "details": run["data"]["details"],
            "dtype": run["llm"]["dtype"],
            "memory_mb": run["batch"]["memory_mb"],
            "data": {"name": Path(run["data"]["source"]).name, "source": run["data"]["source"]},
            "training": run,
        },
    }
