import ctypes
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from ccf_llm.io import memory
from ccf_llm.io.memory import free_memory, give_back


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = (tmp_path / "memory.max", tmp_path / "missing")
    monkeypatch.setattr(memory, "LIMITS", limits)
    limits[0].write_text("1000000\n")
    assert free_memory() == 1_000_000
    limits[0].write_text("max\n")  # none
    free = free_memory()
    assert free is not None
    assert free > 1_000_000


POOLS = """
import ctypes, threading
{call}
together = threading.Barrier(12)
def take():
    together.wait()
    ctypes.CDLL(None).malloc(1000)
    together.wait()
for _ in range(12):
    threading.Thread(target=take).start()
for thread in threading.enumerate()[1:]:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""
"""Twelve threads that take memory; the C library tells on stderr which pools there are."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="glibc's")
def test_threads_share_two_pools() -> None:
    def pools(call: str) -> int:
        command = [sys.executable, "-c", POOLS.format(call=call)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr.count("Arena")

    assert pools("from ccf_llm.io.memory import few_arenas; few_arenas()") == 2 < pools("")


def test_what_nobody_refers_to_is_freed() -> None:
    class Node:
        me: "Node"

    node = Node()
    node.me, seen = node, weakref.ref(node)
    del node
    give_back()
    assert seen() is None
