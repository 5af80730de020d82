"""What a process does before it serves."""

import sys

from ccf_llm.io.memory import few_arenas


def prepare() -> None:
    """Set memory and threads; called before there are many threads."""
    few_arenas()
    # Threads that compute would hold up the one that answers for 5 ms at a time.
    sys.setswitchinterval(0.001)
