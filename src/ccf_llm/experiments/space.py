"""What a search of settings may choose from; it loads nothing heavy, as it is part of a configuration."""

from typing import Self

from pydantic import Field, model_validator

from ccf_llm.settings import Settings

Choice = bool | int | float | str


class Range(Settings):
    """The values that one setting may take: a few choices, or all numbers from one to another."""

    choices: tuple[Choice, ...] | None = Field(default=None, min_length=1)
    """Instead of a range."""
    low: float | None = None
    """The least."""
    high: float | None = None
    """The greatest."""
    log: bool = False
    """Drawn evenly by the logarithm, as rates are."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        low, high = self.low, self.high
        if (self.choices is None) == (low is None and high is None):
            raise ValueError("give choices, or low and high")
        if self.choices is None and (low is None or high is None or low >= high or (self.log and low <= 0)):
            raise ValueError("low must lie below high and, with log, above 0")
        return self

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        if self.choices is not None:
            return value in self.choices
        return isinstance(value, int | float) and (self.low or 0) <= value <= (self.high or 0)
