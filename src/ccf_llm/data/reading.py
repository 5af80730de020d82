"""What happened while tables were read into a data set, for people to see."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from ccf_llm.errors import CCFError


@dataclass
class Reading:
    """Filled by the readers and checks, in order; kept with the data set and shown by `describe`."""

    rows: int = 0
    """Interactions that the source holds."""
    timed: bool = True
    """False: nobody knows when the interactions happened; all timestamps are 0."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> how many interactions (or items) were left out for it."""
    notes: list[str] = field(default_factory=list)
    """What was decided or looks odd, one line each."""

    def note(self, line: str) -> None:
        """Add a line, once."""
        if line not in self.notes:
            self.notes.append(line)

    def leave_out(self, reason: str, count: int) -> None:
        """Count and note what does not go into the data set, if it is anything."""
        if count:
            self.left_out[reason] = count
            self.note(f"left out: {reason} ({count})")

    def with_notes(self, lines: Iterable[str]) -> Self:
        """A copy with further lines."""
        return replace(self, notes=[*self.notes, *lines])

    def to_json(self) -> dict[str, Any]:
        """For `schema.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Self:
        """What `to_json` gave; anything else is a `CCFError`. None, in older data sets: nothing was recorded."""
        if value is None:
            return cls()
        try:
            reading = cls(int(value["rows"]), bool(value["timed"]), dict(value["left_out"]), list(value["notes"]))
        except (KeyError, TypeError, ValueError):
            raise CCFError(f"{where}: `reading` is not what this version writes; import the data again") from None
        return reading
