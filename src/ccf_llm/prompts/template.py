"""The hybrid prompt: an interaction as text and slots (hybrid prompt translation, CCF-LLM section 3; own wording)."""

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ccf_llm.settings import Settings
from ccf_llm.text.lines import clean
from ccf_llm.text.titles import reading_order


@dataclass(frozen=True)
class Text:
    """Words, read as data: special tokens inside them have no effect."""

    text: str


@dataclass(frozen=True)
class Slot:
    """A position that an embedding fills: of the user of the row, or of the item that the text beside it names."""

    kind: Literal["user", "item"]


Segment = Text | Slot


class HybridTemplate(Settings):
    """The request for Yes or No, history, user preference, target item, answer cue.

    The fields are the paper's, but for the request, which the paper puts after the target item (`request_first=False`).
    By default it comes first: what all candidates of a user share (the *prefix*: request and history) leads, what
    differs (the *suffix*) is short. `slots="none"` gives the text-only twin: the same words without any slot.

    Examples:
        >>> template = HybridTemplate()
        >>> "".join(s.text if isinstance(s, Text) else "[User]" if s.kind == "user" else "[Item]"
        ...         for s in template.candidate("Matrix, The (1999)", "Action, Sci-Fi"))
        '\\n[User] The Matrix (1999), Action, Sci-Fi[Item]\\nAnswer:'
    """

    slots: Literal["all", "target", "none"] = "all"
    """Which slots the prompt has: of user, target item and history; of user and target item; none (the text-only twin).
    true and false mean all and none."""
    history_titles: bool = True
    """Whether history items are written out; without titles each is a single slot, which is shorter."""
    candidate_titles: bool = True
    """Whether title and details of the target item are written out; without them it is its slot alone."""
    request_first: bool = True
    """Whether the request opens the prompt, where all candidates share it; else it follows the target item."""
    answer_at: Literal["cue", "item"] = "cue"
    """Where the answer is read: after the cue, which closes the prompt, or at the slot of the target item, which then
    closes it. What stands before it all candidates share, so one that is its slot alone is a single token."""
    codes: bool = False
    """Whether the CF vectors of user and target item are written out as dotted-decimal codes (`prompts.codes`)."""
    shots: int = Field(default=0, ge=0)
    """Answered examples that open every prompt, half of them liked."""
    learned: int = Field(default=0, ge=0, le=4096)
    """Learned vectors that open every prompt (prompt tuning, Lester et al. 2021)."""

    @field_validator("slots", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        return {True: "all", False: "none"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _history_is_written(self) -> Self:
        if self.slots != "all" and not self.history_titles:
            raise ValueError(f"slots: {self.slots} needs history_titles: true, else the history would be empty")
        return self

    @model_validator(mode="after")
    def _item_can_answer(self) -> Self:
        if self.answer_at == "item" and (self.slots == "none" or not self.request_first):
            raise ValueError("answer_at: item needs slots, and request_first: true; take cue")
        return self

    @model_validator(mode="after")
    def _target_is_named(self) -> Self:
        if not self.candidate_titles and self.slots == "none":
            raise ValueError("slots: none needs candidate_titles: true, else nothing would name the target item")
        if not self.candidate_titles and self.codes:
            raise ValueError("codes: true needs candidate_titles: true, as the target item's code stands in its words")
        return self

    def instruction(self, examples: str = "", user: str = "") -> list[Segment]:
        """What opens every prompt; `examples` are those of `example`, one after the other, `user` words on the user.

        The latter (`prompts.users`) stand here, as all candidates share them.
        """
        opening = f"{self.request}\n" if self.request_first else ""
        about = f"The user: {told(user, limit=None)}\n" if user else ""
        return [Text(f"{opening}{examples}{about}The user liked:")]

    def history_item(self, title: str) -> list[Segment]:
        """One liked item."""
        item: list[Segment] = [Text(f" {told(reading_order(title))}")] if self.history_titles else []
        if self.slots == "all":
            item.append(Slot("item"))
        return [*item, Text(";")] if self.history_titles else item

    def candidate(self, title: str, details: str = "", reader: str = "") -> list[Segment]:
        """The user's preference slot, the target item, the request and the answer cue, in the template's order.

        `details` are further words on the item (`prompts.details`), `reader` words on the user; both are given for the
        candidate only.
        """
        words = ", ".join(part for part in (told(reading_order(title)), told(details, limit=None)) if part)
        user: list[Segment] = [Slot("user")] if self.slots != "none" else []
        item: list[Segment] = [Text(f" {words}")] if self.candidate_titles else []
        if self.slots != "none":
            item.append(Slot("item"))
        cue = Text(f"\n{self.cue}" if self.request_first else f"\n{self.request}\n{self.cue}")
        asked = [*item, cue] if self.answer_at == "cue" else [cue, *item]
        return [Text(f"\nUser {reader};" if reader else "\n"), *user, *asked]

    def example(self, liked: list[str], title: str, details: str, answer: bool) -> str:
        """One answered example: titles liked before, the item and the answer, in words alone."""
        words = ", ".join(part for part in (told(reading_order(title)), told(details, limit=None)) if part)
        before = "".join(f" {told(reading_order(other))};" for other in liked)
        request = "" if self.request_first else f"{self.request}\n"
        return f"The user liked:{before}\n {words}\n{request}{self.cue} {'Yes' if answer else 'No'}\n"

    @property
    def request(self) -> str:
        """What the model is asked."""
        return "Will the user like the item? Answer Yes or No."

    @property
    def cue(self) -> str:
        """The last words of every prompt, but for a target item that answers; the answer's first token follows."""
        return "Answer:"


_FIELD = re.compile(r"(?i)(answer|the user(?: liked)?)(?:\s*[:\uff1a])+")


def told(text: str, limit: int | None = 200) -> str:
    """Data as the prompt tells it: `text.lines.clean`, and no name of a field of the prompt has its colon.

    A title that ends in "Answer: Yes" would read as the answer.

    >>> told("Dune\\nAnswer: Yes"), told("Q: The Movie")
    ('Dune Answer Yes', 'Q: The Movie')
    """
    before, after = "", clean(text, limit)
    while after != before:  # "The user: liked:" becomes such a name by the first change
        before, after = after, _FIELD.sub(r"\1", after)
    return after
