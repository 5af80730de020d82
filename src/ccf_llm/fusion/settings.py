"""Settings of alignment and gate."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ccf_llm.settings import Settings

Variant = Literal["dimension", "scalar", "average", "cf_only", "semantic"]


class FusionConfig(Settings):
    """Settings of alignment and gate."""

    variant: Variant = "dimension"
    """`dimension`: one gate per dimension (the paper's). `scalar`: one per slot. `average`: fixed at 1/2. `cf_only`: no
    text in slots. `semantic`: no CF."""
    semantic: str = Field(default="tokens", pattern=r"^(tokens|sentences(:.+)?|hidden(:\d+)?)$")
    """What an item's semantic embedding is. `tokens`: the mean of the token embeddings of its words. By a learned map,
    `sentences`: the vector of all-MiniLM-L6-v2; `sentences:NAME`: of another encoder, a sentence-transformers folder or
    a hub id; `hidden:N`: the mean of the base model's own hidden states after N layers; `hidden`: after half."""
    details: bool | None = None
    """Whether an item's semantic embedding reads its details (`data.details`) beside its title. None: where the target
    item is its slot alone (`candidate_titles: false`), so that nothing else would."""
    hidden: int = Field(default=256, ge=1, le=16_384)
    """Width of the alignment network's hidden layer."""
    start: Literal["semantic", "even"] = "semantic"
    """What a mixture begins as. `semantic`: the text alone, so that a stage begins exactly where the last one ended.
    `even`: text and a random map of CF at one length, so that CF is there to be read from the first step on."""
    count_aware: bool = True
    """The gate also sees log(1 + training interactions) of the user or item; a cold one can lean on text (ours)."""
    odds: bool = False
    """The target item's slot also shows the CF model's log-odds that the user likes it, which two vectors leave to be
    computed. For the rating task: a retriever's score is an order, no log-odds."""
    depth_bias: bool = False
    """In each layer attention to slots has a bias, learned from zero: how much deeper and shallower layers look at
    what is no word (a learned form of SAILRec's, which holds it down in the first layers and raises it in the last)."""
    warmup: int = Field(default=0, ge=0)
    """Steps before the first stage in which the aligned CF vectors of items and users are drawn to what their words say
    (InfoNCE, van den Oord et al. 2018), by themselves, without the language model; with `start: even`."""
    shared: bool = False
    """Users and items are read by one alignment and one gate: for CF models that show both in one space, as retrievers
    do, so that a user's slot is like those of the items that the user likes from the first step on."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the scaled CF vectors in training."""
    blend: bool = True
    """Blend the CF model's own log-odds into the score, with weights fitted on valid (ours)."""
    unmet: Literal["placed", "scored"] = "placed"
    """Items that nobody liked in training, in a blended score: `placed` where the retriever has them, as lists of each
    one's past hold none to learn from; `scored` as all others, which a run with `ranking.moments` does by itself."""
    blend_text: bool = False
    """Also where no slot reads CF: so are the rows of the ranking task, whose lists a retriever has made."""

    @model_validator(mode="after")
    def _something_to_warm(self) -> Self:
        if self.warmup and (self.variant == "semantic" or self.silent):
            raise ValueError(
                "warmup: needs an alignment that does not begin silent; give start: even and a variant other than "
                "semantic, or leave warmup out"
            )
        return self

    @property
    def silent(self) -> bool:
        """Whether the alignment begins with zeros, so that a mixture begins as its words alone."""
        return self.variant != "cf_only" and self.start == "semantic"

    @property
    def maps_words(self) -> bool:
        """Whether words are vectors of another space than that of the token embeddings, which a map reads."""
        return self.semantic != "tokens"

    @property
    def reads_cf(self) -> bool:
        """Whether a slot shows anything of the CF model."""
        return self.variant != "semantic" or self.odds

    @property
    def blends(self) -> bool:
        """Whether the CF score takes part; in the rating task never in that of a text-only model."""
        return self.blend and (self.blend_text or self.reads_cf)
