"""What the service counts, for Prometheus.

Invariant: no label has more values than there are routes, verdicts, statuses, flags and kinds: no
account, id or key is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from billing.intake.otlp_traces import SpanKind
from billing.operations.writer import Settled

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one process; its text tells of all processes that count in ``counters``."""

    def __init__(self, *, counters: Path | None = None) -> None:
        self._counters = counters
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tokenworks_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "tokenworks_request_seconds",
            "How long an answer took.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter(
            "tokenworks_events",
            "Events by what became of them, once it was committed.",
            ["verdict"],
            registry=self.registry,
        )
        for verdict in ("accepted", "duplicate", "conflict", "rejected"):
            self._events.labels(verdict)  # shown from the start, when its file is there
        self._flags = Counter(
            "tokenworks_event_flags",
            "Accepted events by what is assumed or missing of them; one may have several flags.",
            ["flag"],
            registry=self.registry,
        )
        self._spans = Counter(
            "tokenworks_spans",
            "Spans that were exported to us, by what they are; those with usage become events.",
            ["kind"],
            registry=self.registry,
        )
        self._commit_seconds = Histogram(
            "tokenworks_commit_seconds",
            "How long the events of a group of requests took to be stored.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._commit_requests = Histogram(
            "tokenworks_commit_requests",
            "Requests of one commit.",
            buckets=_REQUESTS,
            registry=self.registry,
        )
        self._waiting = Gauge(
            "tokenworks_waiting_events",
            "Events that wait to be stored.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        # What each answer counts in: looking it up by labels costs more than counting.
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        found = self._answered.get((method, route, status))
        if found is None:
            found = self._answered[method, route, status] = (
                self._requests.labels(method, route, str(status)),
                self._request_seconds.labels(route),
            )
        found[0].inc()
        found[1].observe(seconds)

    def settled(self, group: Sequence[Settled], *, waiting: int) -> None:
        """Count a group that the writer settled."""
        self._waiting.set(waiting)
        stored = [one for one in group if one.error is None]
        if not stored:
            return
        self._commit_seconds.observe(stored[0].commit_s)
        self._commit_requests.observe(stored[0].group)
        counts: dict[str, int] = {}
        for one in stored:
            for verdict in one.verdicts:
                counts[verdict.kind] = counts.get(verdict.kind, 0) + 1
            rejected = len(one.submission.refused)
            counts["rejected"] = counts.get("rejected", 0) + rejected
        for kind, count in counts.items():
            self._events.labels(kind).inc(count)

    def flagged(self, flags: Sequence[str]) -> None:
        """Count the flags of an event that was accepted."""
        for flag in flags:
            self._flags.labels(flag).inc()

    def exported(self, kinds: Mapping[SpanKind, int]) -> None:
        """Count the spans of a request."""
        for kind, count in kinds.items():
            self._spans.labels(kind).inc(count)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        registry = self.registry
        if self._counters is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._counters))  # type: ignore[no-untyped-call]
        return generate_latest(registry)
