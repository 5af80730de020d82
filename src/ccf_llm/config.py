"""What a run is: one YAML or TOML file, checked before anything is computed."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ccf_llm.cf import CFConfig, DINConfig, GBMConfig, ItemUserMean, LightGCNConfig, MFConfig, SASRecConfig
from ccf_llm.cf.load import FITTED
from ccf_llm.errors import CCFError
from ccf_llm.fusion import FusionConfig
from ccf_llm.llm.lora import LoRAConfig
from ccf_llm.prompts import HistoryBudget, HybridTemplate
from ccf_llm.training.stage import BatchConfig, StageConfig


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


CF_METHODS = (ItemUserMean.name, *FITTED)
"""CF rows that a comparison can have."""
LATE_FUSION = "late_fusion"
RESERVED = (*CF_METHODS, LATE_FUSION)
"""Rows of every comparison that are no methods of the configuration."""


class SplitConfig(_Settings):
    """Global-time split. A data set that comes with a split of its own keeps it."""

    train: float = Field(default=0.8, gt=0, lt=1)
    """Share of the interactions, oldest first."""
    valid: float = Field(default=0.1, gt=0, lt=1)
    """Share after them; the rest is test."""
    max_rows_per_user: int | None = Field(default=None, ge=1)
    """In valid and test, keep at most so many rows of a user, drawn with the seed: many users, few rows each."""
    seed: int = 0
    """Of that draw; apart from the run's seed, so that runs of all seeds are measured on the same rows."""


class DataConfig(_Settings):
    """Which data, and what of it goes into prompts."""

    source: str = "ml-100k"
    """A name that `ccf-llm data fetch` knows, or a folder."""
    split: SplitConfig = SplitConfig()
    """How to split, where the source does not come with a split."""
    details: tuple[str, ...] = ()
    """Columns of the items whose words follow the title of the target item, such as genres."""


class CFSettings(_Settings):
    """The collaborative models."""

    model: Literal["mf", "lightgcn", "sasrec", "din"] = "mf"
    """The one whose vectors fill the slots, whose log-odds are blended in, and that retrieves candidates."""
    compare: tuple[Literal["mf", "lightgcn", "sasrec", "din", "gbm"], ...] = ()
    """Further CF rows of the comparison; item + user mean is always one. gbm needs the extra of that name."""
    mf: MFConfig = MFConfig()
    """Matrix factorisation."""
    lightgcn: LightGCNConfig = LightGCNConfig()
    """Vectors smoothed along the graph of likes."""
    sasrec: SASRecConfig = SASRecConfig()
    """Self-attention over the liked items."""
    din: DINConfig = DINConfig()
    """Attention from the candidate to the liked items."""
    gbm: GBMConfig = GBMConfig()
    """Boosted trees on features of user, item and history; they have no vectors to fill slots with."""
    folds: int = Field(default=4, ge=0)
    """Train the language model on CF vectors of so many cross-fitted models, each row on those of one that has not seen
    it; 0: on the final model's."""
    whole_users: float = Field(default=0.5, ge=0, le=1)
    """Share of users that are held out whole when cross-fitting, so that the language model also meets cold users."""

    @property
    def rows(self) -> tuple[str, ...]:
        """The CF rows of the comparison, each once."""
        return tuple(dict.fromkeys((ItemUserMean.name, self.model, *self.compare)))

    def of(self, method: str) -> CFConfig | GBMConfig:
        """The settings of a fitted CF row."""
        config: CFConfig | GBMConfig = getattr(self, method)
        return config


class LLMConfig(_Settings):
    """The base language model."""

    model: str = "smollm2-135m"
    """An alias, a hub id, a folder or a GGUF file."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the frozen body computes in; auto takes bf16 where the processor has it natively."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`; auto takes a GPU if there is one."""
    lora: LoRAConfig = LoRAConfig()
    """The adapter."""


class PromptConfig(_Settings):
    """The prompt."""

    template: HybridTemplate = HybridTemplate()
    """Slots or the text-only twin; history items as titles with slots or as slots alone."""
    history: HistoryBudget = HistoryBudget()
    """How much history, in items and in tokens."""


class MethodConfig(_Settings):
    """One row of the comparison: stages on top of another method's result."""

    start: str | None = None
    """The method whose trained adapter this one starts from."""
    fusion: FusionConfig | None = None
    """Alignment and gate; null takes the run's."""
    stages: tuple[str, ...] = Field(min_length=1)
    """Names of the stages, in order."""


class RunConfig(_Settings):
    """A whole run."""

    name: str = "ccf-llm"
    """Shown in reports."""
    notes: tuple[str, ...] = ()
    """Sentences that the report shows beside the figures."""
    output: Path = Path("runs/ccf-llm")
    """Folder that the run writes to."""
    seed: int = 0
    """Of every random choice in training."""
    data: DataConfig = DataConfig()
    """Data set, split and columns."""
    cf: CFSettings = CFSettings()
    """Collaborative model."""
    llm: LLMConfig = LLMConfig()
    """Base model and adapter."""
    prompt: PromptConfig = PromptConfig()
    """Wording and history."""
    fusion: FusionConfig = FusionConfig()
    """Alignment and gate."""
    batch: BatchConfig = BatchConfig()
    """Sizes that bound memory."""
    stages: dict[str, StageConfig] = {
        "text": StageConfig(train=("lora",)),
        "fusion": StageConfig(train=("fusion",)),
    }
    """Stages by name."""
    methods: dict[str, MethodConfig] = {
        "llm_text": MethodConfig(fusion=FusionConfig(variant="semantic"), stages=("text",)),
        "ccf_llm": MethodConfig(start="llm_text", stages=("fusion",)),
    }
    """Language-model rows of the comparison, in training order."""
    main: str = "ccf_llm"
    """The method that recommends."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known: set[str] = set()
        for name, method in self.methods.items():
            if name in RESERVED:
                raise ValueError(f"methods.{name}: this name belongs to a row of its own; choose another")
            if method.start is not None and method.start not in known:
                raise ValueError(f"methods.{name}.start: {method.start!r} is not a method named before it")
            for stage in method.stages:
                if stage not in self.stages:
                    raise ValueError(f"methods.{name}.stages: {stage!r} is not one of {', '.join(self.stages)}")
                reads_cf = self.fusion_of(name).variant != "semantic" and self.prompt.template.slots
                if "lora" not in self.stages[stage].train and not reads_cf:
                    raise ValueError(
                        f"methods.{name}.stages: {stage!r} trains nothing, as the method reads no CF; train lora too"
                    )
            known.add(name)
        if self.main not in self.methods:
            raise ValueError(f"main: {self.main!r} is not one of the methods {', '.join(self.methods)}")
        return self

    def fusion_of(self, method: str) -> FusionConfig:
        """Alignment and gate of a method."""
        return self.methods[method].fusion or self.fusion

    def needed_for(self, method: str) -> list[str]:
        """The method and those that it starts from, in training order."""
        start = self.methods[method].start
        return [*(self.needed_for(start) if start else []), method]


def load_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Read and check a run's file.

    Args:
        path: .yaml, .yml or .toml.
        overrides: `a.b=value` settings that replace those of the file; values are read as YAML.

    Raises:
        CCFError: no such file, not readable, or a setting that is unknown or out of range, named by its full key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise CCFError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give a .yaml or .toml file"
        ) from None
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise CCFError(f"{path}: not valid YAML or TOML: {' '.join(str(error).split())}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise CCFError(f"{path}: expected settings such as 'seed: 0', found {type(values).__name__}")
    config = check_config(values, str(path))
    if not overrides:
        return config
    # On top of the defaults too, so that one setting of a default stage or method can be replaced.
    values = config.model_dump(mode="json")
    for override in overrides:
        _override(values, override)
    return check_config(values, str(path))


def check_config(values: dict[str, Any], where: str) -> RunConfig:
    """The settings as a `RunConfig`; the first fault is named with its key and what to do."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            raise CCFError(f"{where}: unknown setting '{key}'; remove it or correct its name") from None
        raise CCFError(f"{where}: {key + ': ' if key else ''}{fault['msg'].removeprefix('Value error, ')}") from None


def dump_config(config: RunConfig) -> str:
    """The whole configuration as YAML, defaults included."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise CCFError(f"--set {override}: give it as key=value, such as --set seed=1")
    *parents, last = key.strip().split(".")
    node = values
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise CCFError(f"--set {override}: '{parent}' holds a single value, not settings")
    try:
        node[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise CCFError(f"--set {override}: the value is not valid YAML") from None
