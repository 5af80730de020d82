"""The hybrid prompt: an interaction as text and slots (hybrid prompt translation, CCF-LLM section 3; own wording)."""

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class HybridTemplate:
    """Fields in the paper's order: history, user preference, target item, request for Yes or No, answer cue.

    The instruction and the history (the *prefix*) come first, so that all candidates of a user share them; what differs
    by candidate (the *suffix*) is short. `slots=False` gives the text-only twin: the same words without any slot.

    Example:
        >>> template = HybridTemplate()
        >>> "".join(s.text if isinstance(s, Text) else "[User]" if s.kind == "user" else "[Item]"
        ...         for s in template.candidate("Matrix, The (1999)", "Action, Sci-Fi"))
        '\\nUser: [User]\\nItem: The Matrix (1999), Action, Sci-Fi [Item]\\nYes or No? Answer:'
    """

    slots: bool = True
    """Whether slots are part of the prompt; without them it is the text-only twin."""
    history_titles: bool = True
    """Whether history items are written out; without titles each is a single slot, which is shorter."""

    def __post_init__(self) -> None:
        if not self.slots and not self.history_titles:
            raise ValueError("a prompt without slots needs history_titles=True, else its history would be empty")

    def instruction(self) -> list[Segment]:
        """What opens every prompt."""
        return [Text("Will the user like the item? Answer Yes or No.\nThe user liked:")]

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
        user: list[Segment] = [Text("\nUser:"), Slot("user")] if self.slots else []
        item: list[Segment] = [Text(f"\nItem: {words}")] + ([Slot("item")] if self.slots else [])
        return [*user, *item, Text(f"\nYes or No? {self.cue}")]

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
