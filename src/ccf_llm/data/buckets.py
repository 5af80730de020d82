"""Counts in buckets: from how many on a user or an item is warm, and what a span of counts is called."""

import math

WARM = 3
"""Training rows from which on a user or an item is warm."""


def span_of(low: float, high: float) -> str:
    """Whole numbers from `low` to below `high`: `0`, `1-5` or `>50`."""
    if high == math.inf:
        return f">{int(low) - 1}"
    return str(int(low)) if high - low == 1 else f"{int(low)}-{int(high) - 1}"
