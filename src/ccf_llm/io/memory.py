"""How much memory there is to be had, and giving back what is not used."""

import ctypes
import gc
import os
import sys
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may take in all, by either version of Linux's control groups."""


def free_memory() -> int | None:
    """Bytes that this process can still be given, at most; None where the machine does not tell."""
    found = [bytes_of(path.read_text(encoding="ascii")) for path in LIMITS if path.is_file()]
    found.append(_available())
    return min((size for size in found if size is not None), default=None)


def few_arenas() -> None:
    """Let all threads take memory from two pools, where the C library is glibc; called before there are many threads.

    glibc gives each thread a pool of its own, up to eight a core. A model is read by threads that end, and what they
    leave in their pools is lost to the next: 900 MB instead of 580 are held after six models have come and gone.
    """
    allocate_with(arena_max=2)


def allocate_with(*, arena_max: int = 0, mmap_threshold: int = 0, trim_threshold: int = 0) -> None:
    """Set what is given by glibc's `mallopt`, in its words and units; where the C library is another, nothing."""
    numbers = {-8: arena_max, -3: mmap_threshold, -1: trim_threshold}  # of malloc.h
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for number, value in numbers.items():
            if value:
                mallopt(number, value)


def give_back() -> None:
    """Free what nobody refers to any more, and hand it to the system where the C library can."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def bytes_of(limit: str) -> int | None:
    """The size in a limit's file; None for `max`, which is no limit."""
    return int(limit) if limit.strip().isdigit() else None


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # another system
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
