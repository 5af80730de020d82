"""How much memory there is to be had."""

import os
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may take in all, by either version of Linux's control groups."""


def free_memory() -> int | None:
    """Bytes that this process can still be given, at most; None where the machine does not tell."""
    found = [bytes_of(path.read_text(encoding="ascii")) for path in LIMITS if path.is_file()]
    found.append(_available())
    return min((size for size in found if size is not None), default=None)


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
