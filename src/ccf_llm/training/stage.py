"""One training stage: which parts move, how fast, for how long."""

from typing import Self

from pydantic import Field, model_validator

from ccf_llm.model.trainable import Trainable
from ccf_llm.settings import Settings


class StageConfig(Settings):
    """Settings of one stage. The paper's two are `train: [lora]` on text, then `train: [fusion]`."""

    train: tuple[Trainable, ...] = Field(default=("lora", "fusion"), min_length=1)
    """The parts that are trained; all others stay as they are."""
    rows: int | None = Field(default=None, ge=1)
    """Training rows per epoch, drawn as whole packs with the seed; null takes all. CF always sees all."""
    epochs: int = Field(default=1, ge=1)
    """Passes over those rows; each draws its packs anew."""
    batch_rows: int = Field(default=64, ge=1)
    """Targets per optimizer step, about: packs are gathered until there are so many."""
    residual: bool = False
    """Of methods that blend: add the CF model's log-odds to the language model's in the loss, so that it learns what CF
    does not know. The valid AUC and the score weigh both by the blend, as ever."""
    user_balance: float = Field(default=0.0, ge=0, le=1)
    """How far users with many rows are held back: a row weighs (rows of its user) ** -user_balance in the loss. 0: rows
    weigh alike; 1: users do."""
    lora_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate of the adapter."""
    fusion_rate: float = Field(default=2e-3, gt=0)
    """Peak learning rate of alignment and gate."""
    cf_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate of the CF model."""
    prompt_rate: float = Field(default=3e-3, gt=0)
    """Peak learning rate of the vectors learned at the prompt's start."""
    empty_slots: float = Field(default=0.0, ge=0, le=1)
    """Share of the packs, drawn for each step, whose slots hold zeros: an adapter that is trained on words first then
    meets prompts with slots before there is anything in them."""
    category_weight: float = Field(default=0.0, ge=0)
    """Weight of an auxiliary loss beside the task's own: the state that answers also tells the target item's categories
    (`data.categories`), by a linear head that is dropped afterwards. 0: none."""
    category_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of that head."""
    rating_weight: float = Field(default=0.0, ge=0)
    """Of the ranking task, weight of the rating task's loss beside that of lists: the language model's own log-odds of
    what is to be found and of what the user met and did not like (`ranking.dislikes`). 0: none."""
    pointwise: bool = False
    """Of the ranking task: the loss asks of each item of a list by itself whether it is to be found, as TALLRec does
    (Bao et al. 2023), not which of them are."""
    weight_decay: float = Field(default=1e-3, ge=0)
    """Decoupled weight decay (AdamW)."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; afterwards it falls along a cosine to a tenth."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    evaluations: int = Field(default=4, ge=1)
    """How often the valid AUC is measured, evenly spaced; the best state is kept."""
    valid_rows: int | None = Field(default=1000, ge=1)
    """Validation rows of such a measurement, of users drawn with the seed; null takes all."""
    valid_user_rows: int | None = Field(default=None, ge=1)
    """Of each of these users at most so many rows, drawn too; null takes all of them. Rows of one user say much the
    same: few rows of many users measure a method, and weigh a blend, better than many of a few."""
    patience: int = Field(default=3, ge=1)
    """Measurements without a better valid AUC after which the stage ends."""
    average: int = Field(default=0, ge=0)
    """At the end, average the weights of the best so many measured states, greedily: best first, and a state stays in
    the average only where the valid AUC does not fall (Wortsman et al. 2022). 0 or 1: the best state by itself."""

    @model_validator(mode="after")
    def _cf_stands_still(self) -> Self:
        if self.residual and "cf" in self.train:
            raise ValueError(
                "residual: needs a CF model that stands still; take cf out of train or leave residual false"
            )
        return self


class BatchConfig(Settings):
    """How rows are laid out. It changes no score but for rounding; `training_pack` decides who meets in a step."""

    sequence_tokens: int = Field(default=640, ge=32)
    """Longest packed sequence in training."""
    training_pack: int = Field(default=4, ge=1)
    """Most targets of one pack in training. More share a pass, but a step then holds fewer users, and its gradient
    follows their mood: on MovieLens-100K steps of one user each learned nothing."""
    batch_tokens: int = Field(default=1280, ge=32)
    """Tokens that go through the model at once in training."""
    memory_mb: int = Field(default=512, ge=16)
    """What the activations of a batch may take while scoring; it bounds how many tokens go through at once."""


class ListConfig(Settings):
    """How lists of the ranking task are made."""

    cuts: int = Field(default=8, ge=1)
    """Lists of one user at most: moments of the past, each with what was liked before and what was liked later."""
    horizon: float = Field(default=0.25, gt=0)
    """How far later, in likes before the moment: .25 asks, after 40 likes, for some of the next 10."""
    earliest: float = Field(default=0.3, ge=0, lt=1)
    """Share of a user's likes, or with `moments` of all rows, that lie before every moment."""
    moments: int | None = Field(default=None, ge=1)
    """Lists of so many moments that all people share, in place of each one's `cuts` and `horizon`; of trees too. At
    each a retriever that was fitted on what came before (in place of those of `cf.folds`) is asked for what people
    liked until the next. For data that are split by one time for all, where much of what will be liked is new."""
    size: int = Field(default=24, ge=2)
    """Items of a list."""
    positives: int = Field(default=4, ge=1)
    """At most so many of them are to be found, drawn among those that the retriever finds; each is set against all
    others that are not. The others are never ones that the user likes in train."""
    popular: float = Field(default=0.1, ge=0, le=1)
    """Share of the others that are drawn from the catalogue by popularity, as somebody else's candidates may be
    anything; the rest is the retriever's."""
    dislikes: int = Field(default=0, ge=0)
    """At most so many of the others are what the user met later and did not like, where the data say so."""
    depth: int = Field(default=100, ge=2)
    """The retriever's best so many: lists are drawn from them, and they are what is re-ranked."""
    trees: bool = False
    """Measure boosted trees over the retriever's best too (`compare`: also both together); needs the extra gbm."""
    people: int | None = Field(default=None, ge=1)
    """Measure the language models' lists of so many people, drawn with seed 0; null: of all, as all other rows are."""

    @model_validator(mode="after")
    def _something_to_beat(self) -> Self:
        if self.positives + self.dislikes >= self.size:
            named = "positives" + (" and dislikes" if self.dislikes else "")
            raise ValueError(
                f"{named}: {self.positives + self.dislikes} fill a list of {self.size}; lower them or raise size"
            )
        return self
