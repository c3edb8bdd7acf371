"""What the service counts of webhooks, for Prometheus.

Invariant: no label has more values than there are outcomes of an attempt: no endpoint or account is
one.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from billing.operations.webhook_sending import Became
from billing.store.webhooks import Backlog

_SECOND = 1_000_000


class WebhookMetrics:
    """The counters of one process, and the backlog of the whole deployment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "tokenworks_webhook_attempts",
            "Attempts to send a message, by what they came to.",
            ["became"],
            registry=registry,
        )
        self._pending = Gauge(
            "tokenworks_webhook_pending_messages",
            "Messages that wait at endpoints.",
            registry=registry,
            multiprocess_mode="mostrecent",  # of the deployment: whoever is asked looks
        )
        self._oldest = Gauge(
            "tokenworks_webhook_oldest_pending_seconds",
            "How long the oldest of these has waited; 0 where none waits.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def attempted(self, became: Became) -> None:
        """Count an attempt."""
        self._attempts.labels(became).inc()

    def waits(self, backlog: Backlog, *, now_at: int) -> None:
        """Show what waits now."""
        self._pending.set(backlog.pending)
        waited = 0 if backlog.oldest_at is None else max(now_at - backlog.oldest_at, 0)
        self._oldest.set(waited / _SECOND)
