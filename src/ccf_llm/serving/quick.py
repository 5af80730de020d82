"""Threads for what takes a millisecond: CF answers and reads of the store."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from ccf_llm.serving.recorder import OverloadError

T = TypeVar("T")


class Quick:
    """A few threads, and a queue that is never longer than can be worked off in time.

    What would not even be begun by its deadline is refused at once with `OverloadError`, before any work is done for
    it: a client that is told to come back later costs next to nothing, one answered too late costs a whole answer.

    Args:
        threads: how many; each computes on one core. The helpers that small products would start spin for longer than
            these take, and the language model would have to share the cores with them.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "quick", initializer=torch.set_num_threads, initargs=(1,))
        self._threads = threads
        self._under_way = 0
        self._seconds = 0.0  # of a piece of work, smoothed

    async def do(self, work: Callable[[], T], deadline: float = float("inf")) -> T:
        """What `work` returns, from one of the threads; `deadline` is of `time.monotonic`."""
        ahead = max(0, self._under_way + 1 - self._threads)
        if ahead and time.monotonic() + ahead * self._seconds / self._threads > deadline:
            raise OverloadError
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Finish what was accepted."""
        self._pool.shutdown()

    def _timed(self, work: Callable[[], T]) -> T:
        started = time.monotonic()
        try:
            return work()
        finally:
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
