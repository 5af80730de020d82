"""Counters for Prometheus. No ids: a person who is erased must not live on in a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ccf_llm.serving.batcher import Batcher

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, batcher: Batcher) -> None:
        """All at zero; the queue's depth is read from the batcher."""
        kept = self._registry = CollectorRegistry()
        self.requests = Counter("ccf_llm_requests", "Answered requests.", ["method", "route", "status"], registry=kept)
        self.seconds = Histogram(
            "ccf_llm_request_seconds", "From arrival to answer.", ["route"], buckets=SECONDS, registry=kept
        )
        self.degraded = Counter("ccf_llm_degraded", "Answers of CF alone: the deadline came first.", registry=kept)
        self.events = Counter("ccf_llm_events", "Events by kind and outcome.", ["kind", "outcome"], registry=kept)
        self.in_flight = Gauge("ccf_llm_in_flight", "Requests under way.", registry=kept)
        waiting = Gauge("ccf_llm_waiting", "Requests that wait for the language model.", registry=kept)
        waiting.set_function(lambda: batcher.depth)
        scored = Gauge("ccf_llm_scored_rows", "Rows that the language model has scored.", registry=kept)
        scored.set_function(lambda: batcher.scored)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
