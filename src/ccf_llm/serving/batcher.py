"""Micro-batching: one thread owns the language model and scores what several requests wait for in one call."""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import torch

from ccf_llm.data.rows import Floats, Rows
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.serving.recorder import OverloadError

BUSY = 4
"""Waiting requests from which on one core is left to those who answer."""


class LateError(Exception):
    """The scores cannot be there by the deadline."""


@dataclass(frozen=True)
class _Job:
    model: CCFLLM
    rows: Rows
    deadline: float
    erasures: int
    done: "Future[Floats]" = field(default_factory=Future)


@dataclass(frozen=True)
class _Chore:
    model: CCFLLM
    done: "Future[None]"


class Batcher:
    """Scores rows in one worker thread.

    A batch takes the oldest waiting requests for as long as the time that it is expected to take ends before the
    earliest deadline in it. A request that cannot be served in time, by what waits before it and how fast rows were
    scored lately, gets `LateError` at once: under overload the model works on answers that somebody still waits for,
    and all others have the CF answer early, not all together in the last moment before their deadlines.

    Args:
        waiting: most requests that may wait; beyond it `OverloadError` is raised.
        max_rows: most rows of a batch of several requests.
    """

    def __init__(self, waiting: int = 64, max_rows: int = 512) -> None:
        self._waiting, self._max_rows = waiting, max_rows
        self._jobs: deque[_Job] = deque()
        self._chores: deque[_Chore] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self.erasures = 0
        """How often memory was to be emptied. Who reads a history that is to be scored reads this before."""
        self._threads = torch.get_num_threads()
        self._pace = _Pace()
        self._free_at = 0.0
        """When the batch that is being scored is expected to end; 0 while there is none."""
        self.scored = 0
        """Rows scored so far."""
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._jobs)

    def score(self, model: CCFLLM, rows: Rows, deadline: float, erasures: int | None = None) -> "Future[Floats]":
        """(N,) log-odds of `rows`; `LateError` where they cannot be there by `deadline` (of `time.monotonic`).

        `erasures` is what `self.erasures` was before the histories were read (default: what it is now): where one has
        come between, nothing of this batch stays in memory.
        """
        job = _Job(model, rows, deadline, self.erasures if erasures is None else erasures)
        with self._ready:
            self.check()
            if self._closed:
                raise OverloadError
            ahead = sum(len(other.rows) for other in self._jobs)
            if max(time.monotonic(), self._free_at) + (ahead + len(rows)) * self._pace.cautious > deadline:
                if not self._jobs and not self._free_at:
                    self._pace.fade()
                job.done.set_exception(LateError())
                return job.done
            self._jobs.append(job)
            self._ready.notify()
        return job.done

    def check(self) -> None:
        """Raise `OverloadError` where too many wait to take in another one."""
        with self._ready:
            if len(self._jobs) >= self._waiting:
                # Those who got the CF answer meanwhile wait no more.
                self._jobs = deque(job for job in self._jobs if not job.done.cancelled())
            if len(self._jobs) >= self._waiting:
                raise OverloadError

    def forget(self, model: CCFLLM) -> "Future[None]":
        """Drop what the model keeps in memory of histories, between two batches and after those that read them before.

        To be called once nobody can read any more what is to be forgotten.
        """
        done: Future[None] = Future()
        with self._ready:
            if self._closed:
                raise OverloadError
            self.erasures += 1
            self._chores.append(_Chore(model, done))
            self._ready.notify()
        return done

    def close(self) -> None:
        """Stop after the batch that is being scored; what waits gets `LateError`."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()
        for job in self._jobs:
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(LateError())

    def _run(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """One chore or one batch; nothing refers to its model and its histories afterwards. False in the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._jobs or self._chores or self._closed)
            chore = self._chores.popleft() if self._chores else None
            if chore is None and self._closed:
                return False
            batch = [] if chore else self._take()
        if chore:
            chore.model.forget()
            if chore.done.set_running_or_notify_cancel():
                chore.done.set_result(None)
        if batch:
            self._score(batch)
        return True

    def _take(self) -> list[_Job]:
        """The next batch; jobs that nobody waits for any more, or that cannot be in time, are dropped on the way."""
        batch: list[_Job] = []
        rows, end = 0, float("inf")
        now = time.monotonic()
        while self._jobs:
            job = self._jobs[0]
            grown = rows + len(job.rows)
            expected = now + grown * self._pace.cautious
            if batch and (
                self._pace.mean == 0  # nothing measured yet: one request alone
                or grown > self._max_rows
                or expected > min(end, job.deadline)
                or job.model is not batch[0].model
            ):
                break
            self._jobs.popleft()
            if not job.done.set_running_or_notify_cancel():
                continue
            if expected > job.deadline:
                job.done.set_exception(LateError())
                continue
            batch.append(job)
            rows, end = grown, min(end, job.deadline)
        if not batch:
            self._pace.fade()
        self._free_at = now + rows * self._pace.mean if batch else 0.0
        return batch

    def _score(self, batch: list[_Job]) -> None:
        # Threads of one computation wait for each other at every step, and so for any that had to leave its core. Where
        # many requests come, one thread fewer is faster, and nobody else is held up.
        torch.set_num_threads(max(1, self._threads - 1) if self.depth >= BUSY else self._threads)
        started = time.monotonic()
        try:
            scores = batch[0].model.score_rows(Rows.concat([job.rows for job in batch]))
        except Exception as error:  # those who wait are told, and the thread goes on
            self._free_at = 0.0
            for job in batch:
                job.done.set_exception(error)
            return
        finally:
            if any(job.erasures != self.erasures for job in batch):
                batch[0].model.forget()
        self._pace.add((time.monotonic() - started) / max(len(scores), 1))
        self._free_at = 0.0
        self.scored += len(scores)
        ends = np.cumsum([len(job.rows) for job in batch])
        for job, part in zip(batch, np.split(scores, ends[:-1]), strict=True):
            job.done.set_result(part)


@dataclass
class _Pace:
    """Seconds per row, smoothed as TCP smooths round-trip times (Jacobson 1988): mean, and mean deviation."""

    mean: float = 0.0
    deviation: float = 0.0

    @property
    def cautious(self) -> float:
        """What few batches exceed."""
        return self.mean + 2 * self.deviation

    def add(self, seconds: float) -> None:
        """Take in a batch."""
        if self.mean == 0:
            self.mean, self.deviation = seconds, seconds / 4
        self.deviation += 0.25 * (abs(seconds - self.mean) - self.deviation)
        self.mean += 0.25 * (seconds - self.mean)

    def fade(self) -> None:
        """Believe it a little less: it may be stale (a cold start, a busy machine), and a request has to be tried."""
        self.mean, self.deviation = 0.95 * self.mean, 0.95 * self.deviation
