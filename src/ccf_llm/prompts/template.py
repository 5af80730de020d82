"""The hybrid prompt: an interaction as text and slots (hybrid prompt translation, CCF-LLM section 3; own wording)."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ccf_llm.data.titles import reading_order


@dataclass(frozen=True)
class Text:
    """Words, read as data: special tokens inside them have no effect."""

    text: str


@dataclass(frozen=True)
class Slot:
    """A position that an embedding fills: of the user of the row, or of the item that the text beside it names."""

    kind: Literal["user", "item"]


Segment = Text | Slot


class HybridTemplate(BaseModel):
    """The request for Yes or No, history, user preference, target item, answer cue.

    The fields are the paper's, but for the request, which the paper puts after the target item (`request_first=False`).
    By default it comes first: what all candidates of a user share (the *prefix*: request and history) leads, what
    differs (the *suffix*) is short. `slots=False` gives the text-only twin: the same words without any slot.

    Example:
        >>> template = HybridTemplate()
        >>> "".join(s.text if isinstance(s, Text) else "[User]" if s.kind == "user" else "[Item]"
        ...         for s in template.candidate("Matrix, The (1999)", "Action, Sci-Fi"))
        '\\n[User] The Matrix (1999), Action, Sci-Fi[Item]\\nAnswer:'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: bool = True
    """Whether slots are part of the prompt; without them it is the text-only twin."""
    history_titles: bool = True
    """Whether history items are written out; without titles each is a single slot, which is shorter."""
    request_first: bool = True
    """Whether the request opens the prompt, where all candidates share it; else it follows the target item."""

    @model_validator(mode="after")
    def _history_is_written(self) -> Self:
        if not self.slots and not self.history_titles:
            raise ValueError("a prompt without slots needs history_titles: true, else its history would be empty")
        return self

    def instruction(self) -> list[Segment]:
        """What opens every prompt."""
        return [Text(f"{self.request}\nThe user liked:" if self.request_first else "The user liked:")]

    def history_item(self, title: str) -> list[Segment]:
        """One liked item."""
        item: list[Segment] = [Text(f" {clean(reading_order(title))}")] if self.history_titles else []
        if self.slots:
            item.append(Slot("item"))
        return [*item, Text(";")] if self.history_titles else item

    def candidate(self, title: str, details: str = "") -> list[Segment]:
        """The user's preference slot, the target item, the request and the answer cue.

        `details` are further words on the item (genres, category), given for the candidate only.
        """
        words = ", ".join(part for part in (clean(reading_order(title)), clean(details)) if part)
        user: list[Segment] = [Slot("user")] if self.slots else []
        item: list[Segment] = [Text(f" {words}")] + ([Slot("item")] if self.slots else [])
        return [
            Text("\n"),
            *user,
            *item,
            Text(f"\n{self.cue}" if self.request_first else f"\n{self.request}\n{self.cue}"),
        ]

    @property
    def request(self) -> str:
        """What the model is asked."""
        return "Will the user like the item? Answer Yes or No."

    @property
    def cue(self) -> str:
        """The last words of every prompt; the answer's first token follows."""
        return "Answer:"


def clean(text: str, limit: int = 200) -> str:
    """The text on one line and at most `limit` characters long.

    Control characters and line breaks become spaces, so that no title can open a new field of the prompt or fill it.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
