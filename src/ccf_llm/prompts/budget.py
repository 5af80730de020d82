"""How much of a history a prompt holds."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ccf_llm.settings import Settings


class HistoryBudget(Settings):
    """Which part of a history goes into the prompt: the newest likes, within both limits.

    The start of the window moves only every `step` likes, so that a user's consecutive targets share their prefix;
    `step=1` is "the last `items` likes" exactly.
    """

    items: int = Field(default=20, ge=0)
    """At most so many liked items."""
    tokens: int = Field(default=400, ge=0)
    """At most so many tokens of history."""
    step: int = Field(default=10, ge=1)
    """The window starts at a multiple of this many likes."""

    def window_start(self, length: int, tokens: NDArray[np.int64]) -> int:
        """Index of the first like that is kept, of `length` likes whose token counts are `tokens` (oldest first)."""
        start = max(0, length - self.items)
        spent = np.cumsum(tokens[start:length][::-1])
        start = max(start, length - int(np.searchsorted(spent, self.tokens, side="right")))
        anchored = -(-start // self.step) * self.step
        # Where anchoring would drop the whole history the exact start serves better.
        return anchored if anchored < length else start
