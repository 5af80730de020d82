"""What tells one data set from another: hashes of all that decides what is made from it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from ccf_llm.errors import CCFError


@dataclass(frozen=True)
class Identity:
    """SHA-256 of a data set's vocabularies, in order, and of its rows with labels, times and histories.

    Whatever is made from a data set (a CF model, a checkpoint, a saved model, a result, a part of a batch) keeps the
    identity that it was made from; what was made from another one is made anew, or refused.
    """

    users: str
    """Of the user vocabulary."""
    items: str
    """Of the item vocabulary."""
    all: str
    """Of all rows, whatever their part."""
    train: str | None = None
    """Of the rows of each part; None without a split."""
    valid: str | None = None
    test: str | None = None

    @property
    def learned(self) -> dict[str, str | None]:
        """What decides a trained model: test rows do not."""
        return {"users": self.users, "items": self.items, "train": self.train, "valid": self.valid}

    def to_json(self) -> dict[str, str | None]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, where: str) -> Self:
        """Read what `to_json` wrote; a `CCFError` that names `where` it is no identity."""
        try:
            return cls(**values)
        except TypeError:
            raise CCFError(f"{where}: holds no identity of a data set; it is damaged, make it again") from None
