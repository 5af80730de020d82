"""What a moment says of items: how old they are, and how much they were liked of late."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ccf_llm.data.rows import Codes, Floats

DAY = 24 * 60 * 60
YEAR = 365.2425 * DAY
STRETCHES = (30, 180, 365)
"""Days before the moment whose likes are counted."""


@dataclass(frozen=True, eq=False)
class Clock:
    """By item code, as of the newest like; row 0 is empty."""

    now: NDArray[np.float64]
    """(1,) the year, with its fraction."""
    lately: NDArray[np.int32]
    """(n_items + 1, 3) likes of each of the `STRETCHES`."""
    first: Floats
    """(n_items + 1,) days since the first like; NaN without any."""
    last: Floats
    """(n_items + 1,) days since the last."""

    @classmethod
    def of(cls, times: csr_matrix) -> Self:
        """From the seconds of likes by user and item code (`data.likes.like_times`)."""
        seconds, items, n = times.data, times.indices, times.shape[1]
        newest = int(seconds.max())
        lately = [np.bincount(items[seconds > newest - days * DAY], minlength=n) for days in STRETCHES]
        first, last = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(first, items, seconds)
        np.maximum.at(last, items, seconds)
        days = [np.where(np.isfinite(of), (newest - of) / DAY, np.nan).astype(np.float32) for of in (first, last)]
        now = np.array([1970 + newest / YEAR])
        return cls(now, np.stack(lately, axis=1).astype(np.int32), days[0], days[1])

    def columns(self, items: Codes, years: Floats | None) -> dict[str, NDArray[np.floating[Any]]]:
        """(m,) features of items; with the `years` (n_items + 1,) in which they came out, how long ago that was."""
        told: dict[str, NDArray[np.floating[Any]]] = {
            f"likes of the last {days} days": np.log1p(self.lately[items, place])
            for place, days in enumerate(STRETCHES)
        }
        told |= {"days since the first like": self.first[items], "days since the last like": self.last[items]}
        return told if years is None else told | {"years ago": self.now[0] - years[items]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, to be written."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
