"""The methods of a run: what is written of each, and what it comes to with everything that it takes from the run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from ccf_llm.cf.settings import MEAN, CFSettings, VectorKind
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.model.trainable import Trainable
from ccf_llm.prompts.budget import HistoryBudget
from ccf_llm.prompts.settings import PromptConfig
from ccf_llm.prompts.template import HybridTemplate
from ccf_llm.settings import Settings
from ccf_llm.training.stage import StageConfig


class MethodPrompt(Settings):
    """What a method exchanges of the run's prompt."""

    template: HybridTemplate | None = None
    """null takes the run's."""
    history: HistoryBudget | None = None
    """null takes the run's."""


class MethodConfig(Settings):
    """One row of the comparison: the run's parts, some of them exchanged, and stages on top of another's result."""

    paper: str | None = None
    """Of which system this is a version; null marks our own rows."""
    start: str | None = None
    """The method whose trained adapter this one starts from (and whose CF model, where both read the same)."""
    cf: VectorKind | None = None
    """The CF model whose vectors are read; null takes `cf.model`. `ids`: vectors learned from scratch."""
    folds: int | None = Field(default=None, ge=0)
    """Cross-fitted CF models in training; null takes `cf.folds`."""
    layers: int | None = Field(default=None, ge=1)
    """Of the base model; null takes `llm.layers`."""
    prompt: MethodPrompt = MethodPrompt()
    """Wording and history."""
    fusion: FusionConfig | None = None
    """Alignment, gate and blend; null takes the run's."""
    stages: tuple[str, ...] = ()
    """Names of the stages, in order; none leaves the method as it starts, such as a frozen language model."""


@dataclass(frozen=True)
class Method:
    """A method with nothing left open."""

    name: str
    start: str | None
    """The method that it starts from."""
    cf: VectorKind
    """The CF model that goes with it, whether or not it is read."""
    folds: int
    """How many cross-fitted CF models it is trained with; 0 where its own is read."""
    layers: int | None
    """How many layers of the base model there are; None for all."""
    prompt: PromptConfig
    """Wording and history."""
    fusion: FusionConfig
    """Alignment, gate and blend."""
    stages: tuple[tuple[str, StageConfig], ...]
    """Its stages, each with its name, in order."""
    needed: tuple[str, ...]
    """The methods that it starts from, and itself, in training order."""

    @property
    def fills_slots(self) -> bool:
        """Whether its slots show CF."""
        return self.fusion.reads_cf and self.prompt.template.slots != "none"

    @property
    def reads_cf(self) -> bool:
        """Whether the CF model decides anything of its score."""
        return self.fills_slots or self.prompt.template.codes or self.ranks

    @property
    def ranks(self) -> bool:
        """Whether it puts lists of a retriever in order, whose scores are added to its own."""
        return self.fusion.blend_text

    @property
    def trainable(self) -> set[Trainable]:
        """The parts of it that a stage can train."""
        parts: set[Trainable] = {"lora"}
        if self.fills_slots:
            parts |= {"fusion", "cf"}
        elif (self.fusion.maps_words or self.fusion.depth_bias) and self.prompt.template.slots != "none":
            parts.add("fusion")  # what reads the words
        return parts | ({"prompt"} if self.prompt.template.learned else set())


@dataclass(frozen=True)
class Methods:
    """All methods of a run, by name and in training order, and what their comparison takes beside them."""

    by_name: dict[str, Method]
    cf_rows: tuple[str, ...]
    """The CF rows of the comparison: in the rating task item + user mean, those asked for, those that methods read."""
    text_only: str | None
    """The first method that trains its adapter and reads no CF: the partner of the late fusion."""

    def __getitem__(self, name: str) -> Method:
        """One of them."""
        return self.by_name[name]

    def __iter__(self) -> Iterator[Method]:
        """In training order."""
        return iter(self.by_name.values())


def resolve(
    methods: Mapping[str, MethodConfig],
    stages: Mapping[str, StageConfig],
    *,
    cf: CFSettings,
    prompt: PromptConfig,
    fusion: FusionConfig,
    layers: int | None = None,
    ranking: bool = False,
    meets_new: bool = False,
) -> Methods:
    """The methods of a run, whose names are known to exist; where one has no setting of its own, the run's is its.

    `meets_new`: the lists that are learned from hold items that were new then.
    """
    found: dict[str, Method] = {}
    scoring: dict[str, object] = {"blend_text": ranking} | ({"unmet": "scored"} if meets_new else {})
    for name, own in methods.items():
        kind = own.cf or cf.model
        found[name] = Method(
            name=name,
            start=own.start,
            cf=kind,
            folds=0 if kind == "ids" else cf.folds if own.folds is None else own.folds,
            layers=own.layers or layers,
            prompt=PromptConfig(
                template=own.prompt.template or prompt.template, history=own.prompt.history or prompt.history
            ),
            fusion=(own.fusion or fusion).model_copy(update=scoring),
            stages=tuple((stage, stages[stage]) for stage in own.stages),
            needed=(*(found[own.start].needed if own.start else ()), name),
        )
    read = (method.cf for method in found.values() if method.reads_cf and method.cf != "ids")
    text = (
        method.name
        for method in found.values()
        if not method.reads_cf and any("lora" in stage.train for _, stage in method.stages)
    )
    baseline = () if ranking else (MEAN,)
    return Methods(found, tuple(dict.fromkeys((*baseline, cf.model, *cf.compare, *read))), next(text, None))
