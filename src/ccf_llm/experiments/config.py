"""What a run is: one YAML or TOML file, checked before anything is computed."""

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from ccf_llm.cf.settings import MEAN, TAKE_WORDS, CFSettings, FittedKind, RetrieverKind
from ccf_llm.data.manifest import By, NewItemsBy
from ccf_llm.errors import CCFError, one_line
from ccf_llm.experiments.methods import Method, MethodConfig, MethodPrompt, Methods, resolve
from ccf_llm.experiments.space import Range
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.io.yaml import Lines, dump_yaml, parse_yaml
from ccf_llm.llm.settings import LLMConfig
from ccf_llm.prompts.details import Details
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.users import UserDetails
from ccf_llm.settings import PathSetting, PathText, Settings
from ccf_llm.training.stage import BatchConfig, ListConfig, StageConfig

Task = Literal["rating", "ranking"]
CF_METHODS: tuple[str, ...] = (MEAN, *get_args(FittedKind))
"""CF rows that a comparison can have."""
LATE_FUSION = "late_fusion"
TREES, TREES_WORDS = "trees", "trees_words"
"""Boosted trees over the retriever's best, without and with words."""
WITH_TREES = "_with_trees"
"""Ends the name of the row in which the main method and the trees with words decide together."""
RESERVED = (*CF_METHODS, LATE_FUSION, TREES, TREES_WORDS)
"""Rows of every comparison that are no methods of the configuration."""


class SplitConfig(Settings):
    """How to split by time. A data set that comes with a split of its own keeps it."""

    by: By = "global"
    """Whose time decides: `global` one for all, for the rating task; `user` each user's own, for ranking; `last` leaves
    out the last like of each as test and the one before as valid."""
    train: float = Field(default=0.8, gt=0, lt=1)
    """Share of the interactions, or of each user's likes, oldest first."""
    valid: float = Field(default=0.1, gt=0, lt=1)
    """Share after them; the rest is test."""
    max_rows_per_user: int | None = Field(default=None, ge=1)
    """In valid and test, keep at most so many rows of a user, drawn with the seed: many users, few rows each."""
    seed: int = 0
    """Of that draw; apart from the run's seed, so that runs of all seeds are measured on the same rows."""
    new_items: float = Field(default=0.0, ge=0, lt=1)
    """Share of the items that train and valid never meet: all of their rows are test."""
    new_items_by: NewItemsBy = "time"
    """Which: those that were first met last, or `drawn` with the seed, as where nobody knows the times."""


class DataConfig(Settings):
    """Which data, and what of it goes into prompts."""

    source: PathText = "ml-100k"
    """A name that `ccf-llm data fetch` knows, or a folder."""
    split: SplitConfig = SplitConfig()
    """How to split, where the source does not come with a split."""
    details: Details = ()
    """What is told of items beside their titles: columns, such as genres, or columns with words around them and a
    budget of tokens (`prompts.details`)."""
    user_details: UserDetails = ()
    """What is told of users, in the prompt and in their semantic embedding: columns such as age and occupation, by
    themselves or with words around them and a budget of tokens. Columns that look like personal data are refused
    (`data.personal`)."""
    categories: str | None = None
    """Column of the items, such as genres, that stages with a `category_weight` learn to tell. The published
    MovieLens-1M split has genres in a file of their own, which is read only where this or `details` names `genres`: its
    protocol reads titles alone, so tables mark such rows."""


class RunConfig(Settings):
    """A whole run."""

    task: Task = "rating"
    """`rating`: will the user like this item? (the paper's). `ranking`: which items next?"""

    name: str = "ccf-llm"
    """Shown in reports."""
    notes: tuple[str, ...] = ()
    """Sentences that the report shows beside the figures."""
    output: PathSetting = Path("runs/ccf-llm")
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
    ranking: ListConfig = ListConfig()
    """Lists to learn from and to be re-ranked, of the ranking task."""
    stages: dict[str, StageConfig] = Field(
        default={"text": StageConfig(train=("lora",)), "fusion": StageConfig(train=("fusion",))}
    )
    """Stages by name."""
    methods: dict[str, MethodConfig] = Field(
        default={
            "llm_text": MethodConfig(fusion=FusionConfig(variant="semantic"), stages=("text",)),
            "ccf_llm": MethodConfig(start="llm_text", stages=("fusion",)),
        }
    )
    """Language-model rows of the comparison, in training order."""
    main: str = "ccf_llm"
    """The method that recommends."""
    tune: dict[str, Range] = Field(default={})
    """What `ccf-llm tune` may choose from, by setting, such as `stages.fusion.fusion_rate: {low: 1.0e-4, high: 1.0e-2,
    log: true}` or `llm.lora.rank: {choices: [4, 8, 16]}`; empty: rates, batches and rank around those of the run."""

    @cached_property
    def resolved(self) -> Methods:
        """The methods with everything that they take from the run."""
        return resolve(
            self.methods,
            self.stages,
            cf=self.cf,
            prompt=self.prompt,
            fusion=self.fusion,
            layers=self.llm.layers,
            ranking=self.ranks,
            meets_new=self.ranks and self.ranking.moments is not None,
        )

    @property
    def ranks(self) -> bool:
        """Whether the task is ranking."""
        return self.task == "ranking"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; a copy with other settings resolves its own methods."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("resolved", None)
        return copy

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known: set[str] = set()
        for name, method in self.methods.items():
            if name in RESERVED or name.endswith(WITH_TREES):
                raise ValueError(f"methods.{name}: this name belongs to a row of its own; choose another")
            if method.start is not None and method.start not in known:
                raise ValueError(f"methods.{name}.start: {method.start!r} is not a method named before it")
            for stage in method.stages:
                if stage not in self.stages:
                    raise ValueError(f"methods.{name}.stages: {stage!r} is not one of {', '.join(self.stages)}")
            known.add(name)
        if self.main not in self.methods:
            raise ValueError(f"main: {self.main!r} is not one of the methods {', '.join(self.methods)}")
        return self

    @model_validator(mode="after")
    def _adapters_fit(self) -> Self:
        for method in self.resolved:
            before = self.resolved[self.methods[method.name].start or method.name]
            if method.layers != before.layers:
                raise ValueError(
                    f"methods.{method.name}.layers: {method.layers}, but it starts from the adapter of {before.name}, "
                    f"which has {before.layers or 'all'}; give both the same"
                )
        return self

    @model_validator(mode="after")
    def _ranking_needs_retrievers(self) -> Self:
        if self.ranks:
            named: dict[str, str] = {"cf.model": self.cf.model} | {f"methods.{m.name}.cf": m.cf for m in self.resolved}
            named |= {f"cf.compare.{kind}": kind for kind in self.cf.compare}
            for where, kind in named.items():
                if kind not in get_args(RetrieverKind):
                    raise ValueError(
                        f"{where}: {kind} learns from labels and ranks no catalogue; with task: ranking take one of "
                        f"{', '.join(get_args(RetrieverKind))}"
                    )
            if self.ranking.moments is not None and self.data.split.by != "global":
                raise ValueError(
                    "ranking.moments: moments that all share are for data.split.by: global; leave them out by "
                    f"{self.data.split.by}"
                )
            for method in self.resolved:
                if method.fusion.odds:
                    raise ValueError(
                        f"fusion.odds: {method.cf}, which {method.name} reads, knows an order and no odds; leave it out"
                    )
                if method.fills_slots and not getattr(self.cf.of(method.cf), "dim", 0):
                    raise ValueError(f"cf.{method.cf}.dim: 0 leaves {method.name} no vectors for its slots; raise it")
        return self

    @model_validator(mode="after")
    def _something_takes_the_prior(self) -> Self:
        kinds = {self.cf.model, *self.cf.compare, *(method.cf for method in self.resolved)}
        if self.cf.prior.words != "none" and not any(self.cf.draws(kind) for kind in kinds):
            raise ValueError(
                f"cf.prior.words: {self.cf.model} takes no words; with cf.model take one of {', '.join(TAKE_WORDS)}"
            )
        if "l3ae" in kinds and not self.cf.draws("l3ae"):
            raise ValueError("cf.prior.words: none leaves l3ae no words to read; take sentences, or ease in its place")
        for kind in kinds:
            if self.cf.draws(kind) and not getattr(self.cf.of(kind), "dim", 0):
                raise ValueError(f"cf.{kind}.dim: 0 leaves the prior no vectors to predict; raise it")
        return self

    @model_validator(mode="after")
    def _stages_train_something(self) -> Self:
        for method in self.resolved:
            for name, stage in method.stages:
                if stage.category_weight and self.data.categories is None:
                    raise ValueError(
                        f"stages.{name}.category_weight: nobody says what to learn; name a column by data.categories"
                    )
                if not set(stage.train) & method.trainable:
                    remedy = (
                        "; give the template learned vectors"
                        if "prompt" in stage.train
                        else ", as the method reads no CF; train lora too"
                    )
                    raise ValueError(f"methods.{method.name}.stages: {name!r} trains nothing{remedy}")
        return self


def alone(config: RunConfig, name: str) -> RunConfig:
    """The run as one of this method, and of those that it starts from, alone.

    Everything that a method takes from the run stands in its own entry, and the run's prompt, fusion, CF model and
    layers are those of the method. What decides nothing of a method is null in its entry.
    """
    method = config.resolved[name]
    needed = [config.resolved[other] for other in method.needed]
    update = {
        "llm": config.llm.model_copy(update={"layers": method.layers}),
        "prompt": method.prompt,
        "fusion": method.fusion,
        "cf": config.cf.model_copy(update={"compare": (), **({} if method.cf == "ids" else {"model": method.cf})}),
        "stages": {stage: settings for other in needed for stage, settings in other.stages},
        "methods": {other.name: _spelled_out(config.methods[other.name], other) for other in needed},
        "main": name,
    }
    return config.model_copy(update=update)


def _spelled_out(settings: MethodConfig, method: Method) -> MethodConfig:
    update = {
        "cf": method.cf if method.reads_cf else None,
        "folds": method.folds if method.fills_slots or method.ranks else None,
        "prompt": MethodPrompt(template=method.prompt.template, history=method.prompt.history),
        "fusion": method.fusion if method.prompt.template.slots != "none" or method.ranks else None,
        "layers": None,
    }
    return settings.model_copy(update=update)


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
    except (OSError, UnicodeDecodeError) as error:
        raise CCFError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give a .yaml or .toml file"
        ) from None
    return config_of(text, path, overrides)


def config_of(text: str, path: Path, overrides: list[str] | None = None) -> RunConfig:
    """As `load_config`, of the text that stands in the file `path` or is to be written there."""
    values, lines = _parse(text, path)
    config = check_config(values, str(path), lines)
    if not overrides:
        return config
    # On top of the defaults too, so that one setting of a default stage or method can be replaced.
    values = config.model_dump(mode="json")
    for override in overrides:
        _override(values, override)
    return check_config(values, str(path))


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The run with other values of settings that are named as `--set` names them; raises as `load_config` does."""
    values = config.model_dump(mode="json")
    for key, value in settings.items():
        group, last = _group_of(values, key, key)
        group[last] = value
    return check_config(values, ", ".join(settings))


def setting_of(config: RunConfig, key: str) -> Any:
    """The value of a setting that is named as `--set` names it; a `CCFError` where there is none."""
    group, last = _group_of(config.model_dump(mode="json"), key, f"tune.{key}")
    if last not in group:
        raise CCFError(f"tune.{key}: unknown setting; correct its name, or write out what it belongs to")
    return group[last]


def check_config(values: dict[str, Any], where: str, lines: Lines | None = None) -> RunConfig:
    """The settings as a `RunConfig`; the first fault is named with its key, its line if known, and what to do."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key, problem = ".".join(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, ")
        named = fault["loc"] or tuple(problem.partition(":")[0].split("."))  # our own checks of the whole name the key
        known = (named[:depth] for depth in range(len(named), 0, -1))
        where += next((f", line {lines[path]}" for path in known if path in lines), "") if lines else ""
        if fault["type"] == "extra_forbidden":
            raise CCFError(f"{where}: unknown setting '{key}'; remove it or correct its name") from None
        raise CCFError(f"{where}: {key + ': ' if key else ''}{problem}") from None


def dump_config(config: RunConfig) -> str:
    """The whole configuration as YAML, defaults included."""
    return dump_yaml(config.model_dump(mode="json"))


def _parse(text: str, path: Path) -> tuple[dict[str, Any], Lines]:
    """The values of a file and, of YAML, their lines."""
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text), {}
        except tomllib.TOMLDecodeError as error:
            raise CCFError(f"{path}: not valid TOML: {one_line(error)}") from None
    values, lines = parse_yaml(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise CCFError(f"{path}: expected settings such as 'seed: 0', found {type(values).__name__}")
    return values, lines


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise CCFError(f"--set {override}: give it as key=value, such as --set seed=1")
    group, last = _group_of(values, key.strip(), f"--set {override}")
    try:
        group[last], _ = parse_yaml(value, override)
    except CCFError:
        raise CCFError(f"--set {override}: the value is not valid YAML") from None


def _group_of(values: dict[str, Any], key: str, where: str) -> tuple[dict[str, Any], str]:
    """The settings among which the one of a dotted key stands, made where they are missing, and its own name."""
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise CCFError(f"{where}: '{parent}' holds a single value, not settings")
    return node, last
