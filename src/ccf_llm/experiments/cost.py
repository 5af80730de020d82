"""What a part of a run cost: time and memory."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """Filled when the measured block ends."""

    seconds: float = 0.0
    """Wall time."""
    peak_mb: float = 0.0
    """Largest resident memory of the process in the block, everything that it held before included."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block.

    Linux lets a process set its mark of memory back to what it holds now. Where that cannot be done, the mark is that
    of the whole process so far.
    """
    cost = Cost()
    _lower_mark()
    started = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = round(time.perf_counter() - started, 2)
        cost.peak_mb = round(_mark_mb(), 1)


def peak_rss_mb() -> float | None:
    """Most memory that this process has held, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _lower_mark() -> None:
    try:
        _CLEAR_REFS.write_text("5", encoding="ascii")
    except OSError:  # another system, or not allowed here
        return


def _mark_mb() -> float:
    """The largest resident memory since the mark was lowered; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return peak_rss_mb() or 0.0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 2**10
