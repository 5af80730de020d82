"""How long work is told of while it goes on."""

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Gets a line for each finished part."""
Advance = Callable[[str, int, int], None]
"""Told of what is scored, how many rows of it are done, and of how many."""
Done = Callable[[int, int], None]
"""Told how many are done, and of how many."""
Tick = Callable[[int], None]
"""Told how many more are done."""


def advance_of(scoring: Advance | None, method: str, rows: int) -> Callable[[int], None]:
    """What a scorer tells how many rows each batch has scored, which `scoring` gets as a running total."""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        if scoring is not None:
            scoring(method, done, rows)

    return advance


def now_and_then(say: Say, seconds: float = 10.0) -> Say:
    """`say`, but for lines that come within `seconds` of the start or of the last one: what is quick stays silent."""
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            say(line)

    return tell


def time_left(begun: float, done: int, total: int) -> str:
    """`40 s left` or `3 min left`, if the rest takes as long as what is `done` has since `begun` (`time.monotonic`)."""
    left = (time.monotonic() - begun) / done * (total - done)
    return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
