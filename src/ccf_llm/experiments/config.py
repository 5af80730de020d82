"""What a run is: one YAML or TOML file, checked before anything is computed."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ccf_llm.cf import (
    CFConfig,
    DINConfig,
    EnsembleConfig,
    GBMConfig,
    IDVectorsConfig,
    ItemUserMean,
    LightGCNConfig,
    MFConfig,
    SASRecConfig,
)
from ccf_llm.cf.store import FITTED
from ccf_llm.errors import CCFError
from ccf_llm.fusion import FusionConfig
from ccf_llm.llm.lora import LoRAConfig
from ccf_llm.model.parts import Part
from ccf_llm.prompts import HistoryBudget, HybridTemplate
from ccf_llm.training.stage import BatchConfig, StageConfig


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


CF_METHODS = (ItemUserMean.name, *FITTED)
"""CF rows that a comparison can have."""
LATE_FUSION = "late_fusion"
IDS = "ids"
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

    model: Literal["mf", "lightgcn", "sasrec", "din", "ensemble"] = "mf"
    """The one whose vectors fill the slots, whose log-odds are blended in, and that retrieves candidates."""
    compare: tuple[Literal["mf", "lightgcn", "sasrec", "din", "ensemble", "gbm"], ...] = ()
    """Further CF rows of the comparison; item + user mean is always one. gbm needs the extra of that name."""
    mf: MFConfig = MFConfig()
    """Matrix factorisation."""
    lightgcn: LightGCNConfig = LightGCNConfig()
    """Vectors smoothed along the graph of likes."""
    sasrec: SASRecConfig = SASRecConfig()
    """Self-attention over the liked items."""
    din: DINConfig = DINConfig()
    """Attention from the candidate to the liked items."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """Several MF and LightGCN as one."""
    gbm: GBMConfig = GBMConfig()
    """Boosted trees on features of user, item and history; they have no vectors to fill slots with."""
    ids: IDVectorsConfig = IDVectorsConfig()
    """Random vectors that only a stage with `train: [..., cf]` teaches anything: for methods, never a row by itself."""
    folds: int = Field(default=4, ge=0)
    """Train the language model on CF vectors of so many cross-fitted models, each row on those of one that has not seen
    it; 0: on the final model's."""
    whole_users: float = Field(default=0.5, ge=0, le=1)
    """Share of users that are held out whole when cross-fitting, so that the language model also meets cold users."""

    def of(self, method: str) -> CFConfig | GBMConfig:
        """The settings of a fitted CF model."""
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
    """Which slots; history items as titles or as slots alone; examples; learned vectors."""
    history: HistoryBudget = HistoryBudget()
    """How much history, in items and in tokens."""


class MethodPrompt(_Settings):
    """What a method exchanges of the run's prompt."""

    template: HybridTemplate | None = None
    """null takes the run's."""
    history: HistoryBudget | None = None
    """null takes the run's."""


class MethodConfig(_Settings):
    """One row of the comparison: the run's parts, some of them exchanged, and stages on top of another's result."""

    paper: str | None = None
    """Of which system this is a version; null marks our own rows."""
    start: str | None = None
    """The method whose trained adapter this one starts from (and whose CF model, where both read the same)."""
    cf: Literal["mf", "lightgcn", "sasrec", "din", "ensemble", "ids"] | None = None
    """The CF model whose vectors are read; null takes `cf.model`. `ids`: vectors learned from scratch."""
    folds: int | None = Field(default=None, ge=0)
    """Cross-fitted CF models in training; null takes `cf.folds`."""
    prompt: MethodPrompt = MethodPrompt()
    """Wording and history."""
    fusion: FusionConfig | None = None
    """Alignment, gate and blend; null takes the run's."""
    stages: tuple[str, ...] = ()
    """Names of the stages, in order; none leaves the method as it starts, such as a frozen language model."""


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
                if not set(self.stages[stage].train) & self.parts_of(name):
                    raise ValueError(
                        f"methods.{name}.stages: {stage!r} trains nothing, as the method reads no CF; train lora too"
                        if "prompt" not in self.stages[stage].train
                        else f"methods.{name}.stages: {stage!r} trains nothing; give the template learned vectors"
                    )
            known.add(name)
        if self.main not in self.methods:
            raise ValueError(f"main: {self.main!r} is not one of the methods {', '.join(self.methods)}")
        return self

    def fusion_of(self, method: str) -> FusionConfig:
        """Alignment and gate of a method."""
        return self.methods[method].fusion or self.fusion

    def prompt_of(self, method: str) -> PromptConfig:
        """Wording and history of a method."""
        own = self.methods[method].prompt
        return PromptConfig(template=own.template or self.prompt.template, history=own.history or self.prompt.history)

    def cf_of(self, method: str) -> str:
        """The CF model that goes with a method, whether or not it is read."""
        return self.methods[method].cf or self.cf.model

    def folds_of(self, method: str) -> int:
        """How many cross-fitted CF models a method is trained with; 0 where its own is read."""
        folds = self.methods[method].folds
        return 0 if self.cf_of(method) == IDS else self.cf.folds if folds is None else folds

    def fills_slots(self, method: str) -> bool:
        """Whether CF vectors stand in the method's slots."""
        return self.fusion_of(method).variant != "semantic" and self.prompt_of(method).template.slots != "none"

    def reads_cf(self, method: str) -> bool:
        """Whether the CF model decides anything of a method's score."""
        return self.fills_slots(method) or self.prompt_of(method).template.codes

    def parts_of(self, method: str) -> set[Part]:
        """The parts of a method that a stage can train."""
        parts: set[Part] = {"lora"}
        if self.fills_slots(method):
            parts |= {"fusion", "cf"}
        return parts | ({"prompt"} if self.prompt_of(method).template.learned else set())

    @property
    def text_only(self) -> str | None:
        """The first method that trains its adapter and reads no CF: the partner of the late fusion."""
        trains = {name for name, m in self.methods.items() if any("lora" in self.stages[s].train for s in m.stages)}
        return next((name for name in self.methods if name in trains and not self.reads_cf(name)), None)

    @property
    def cf_rows(self) -> tuple[str, ...]:
        """The CF rows of the comparison: item + user mean, those asked for, and those that methods read."""
        read = (self.cf_of(name) for name in self.methods if self.reads_cf(name) and self.cf_of(name) != IDS)
        return tuple(dict.fromkeys((ItemUserMean.name, self.cf.model, *self.cf.compare, *read)))

    def alone(self, method: str) -> Self:
        """The run as one of this method, and of those that it starts from, alone.

        Everything that a method takes from the run stands in its own entry, and the run's prompt, fusion and CF model
        are those of the method. What decides nothing of a method is null in its entry.
        """
        methods = {name: self._spelled_out(name) for name in self.needed_for(method)}
        kind = self.cf_of(method)
        update = {
            "prompt": self.prompt_of(method),
            "fusion": self.fusion_of(method),
            "cf": self.cf.model_copy(update={"compare": (), **({} if kind == IDS else {"model": kind})}),
            "stages": {name: self.stages[name] for m in methods.values() for name in m.stages},
            "methods": methods,
            "main": method,
        }
        return self.model_copy(update=update)

    def _spelled_out(self, method: str) -> MethodConfig:
        prompt, fills = self.prompt_of(method), self.fills_slots(method)
        update = {
            "cf": self.cf_of(method) if self.reads_cf(method) else None,
            "folds": self.folds_of(method) if fills else None,
            "prompt": MethodPrompt(template=prompt.template, history=prompt.history),
            "fusion": self.fusion_of(method) if prompt.template.slots != "none" else None,
        }
        return self.methods[method].model_copy(update=update)

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
