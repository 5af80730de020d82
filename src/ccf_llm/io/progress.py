"""How long work is told of while it goes on."""

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
