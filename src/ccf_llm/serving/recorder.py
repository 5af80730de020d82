"""Group commit: events that arrive while the disk is busy share the next transaction."""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from ccf_llm.serving.store import Event, EventStore, Outcome

MAX_GROUP = 500


class OverloadError(Exception):
    """Too much is waiting; the caller should come back later."""


@dataclass(frozen=True)
class _Recording:
    event: Event
    done: "Future[Outcome]" = field(default_factory=Future)


@dataclass(frozen=True)
class _Erasure:
    user_id: str
    done: "Future[int]" = field(default_factory=Future)


class Recorder:
    """One thread that writes to the store what others hand in, in the order in which it came.

    Args:
        store: where events go.
        waiting: most jobs that may wait; beyond it `OverloadError` is raised.
    """

    def __init__(self, store: EventStore, waiting: int = 5000) -> None:
        self._store = store
        self._jobs: queue.Queue[_Recording | _Erasure | None] = queue.Queue(waiting)
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, event: Event) -> "Future[Outcome]":
        """The event's outcome, once it is on disk."""
        job = _Recording(event)
        self._put(job)
        return job.done

    def erase(self, user_id: str) -> "Future[int]":
        """How many events of the user were deleted, those that were handed in before this call included."""
        job = _Erasure(user_id)
        self._put(job)
        return job.done

    def close(self) -> None:
        """Write what waits, then stop; what comes later gets `OverloadError`, for nobody would write it."""
        with self._closing:
            self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _put(self, job: _Recording | _Erasure) -> None:
        with self._closing:
            if self._closed:
                raise OverloadError
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise OverloadError from None

    def _run(self) -> None:
        job = self._jobs.get()
        while job is not None:
            group: list[_Recording] = []
            while isinstance(job, _Recording):
                if job.done.set_running_or_notify_cancel():  # else nobody waits for it any more
                    group.append(job)
                if len(group) == MAX_GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            self._write(group)
            if isinstance(job, _Erasure):
                self._erase(job)
            if job is not None:
                job = self._jobs.get()

    def _write(self, group: list[_Recording]) -> None:
        try:
            outcomes = self._store.record([job.event for job in group])
        except Exception as error:  # the database is away or full: those who wait are told, and the thread goes on
            for job in group:
                job.done.set_exception(error)
            return
        for job, outcome in zip(group, outcomes, strict=True):
            job.done.set_result(outcome)

    def _erase(self, job: _Erasure) -> None:
        if not job.done.set_running_or_notify_cancel():
            return
        try:
            job.done.set_result(self._store.erase(job.user_id))
        except Exception as error:
            job.done.set_exception(error)
