"""Durable events a second over HTTP, with a server beside it that reads bodies and stores nothing.

For each store, by events of a request: the rate, how long an answer takes, and what an event costs
the processors, of the service and of the database.

Invariant: both servers are sent the same bytes over as many connections in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.served import (
    CONNECTIONS,
    KINDS,
    Sent,
    body,
    empty_store,
    noop_port,
    send,
    served,
)

# Events of a request, and how many requests.
BATCHES = ((1, 12_000), (100, 600), (1_000, 120), (10_000, 16))


def run() -> Iterator[dict[str, object]]:
    """The figures of each store."""
    for kind in KINDS:
        for events, requests in BATCHES:
            bodies = [body(events) for _ in range(requests)]
            with noop_port() as port:
                noop_s, _ = send(port, key="none", bodies=bodies)
            with empty_store(kind) as place, served(place) as service:
                service.send([body(1_000)])  # every account is known from here on
                sent = service.send(bodies)
            yield from _figures(sent, kind=kind, events=events, noop_s=noop_s)


def _figures(sent: Sent, *, kind: str, events: int, noop_s: float) -> Iterator[dict[str, object]]:
    requests = len(sent.answers_s)
    said = f"{kind}, {events:,} a request"
    stored = events * requests
    yield {
        "metric": f"{said}: durable events over {min(CONNECTIONS, requests)} connections",
        "value": round(stored / sent.seconds),
        "unit": "events/s",
        "peer": "the same requests to a server that stores nothing",
        "peer_value": round(stored / noop_s),
    }
    for percent in (50, 99):
        value = round(sent.answer_ms(percent), 2)
        yield {"metric": f"{said}: answer, p{percent}", "value": value, "unit": "ms"}
    yield {
        "metric": f"{said}: processor time of the service",
        "value": round(sent.service_cpu_s / stored * 1e6, 1),
        "unit": "us/event",
    }
    if sent.database_cpu_s:
        yield {
            "metric": f"{said}: processor time of the database",
            "value": round(sent.database_cpu_s / stored * 1e6, 1),
            "unit": "us/event",
        }
    yield {
        "metric": f"{said}: peak memory of the service",
        "value": round(sent.service_peak_mb),
        "unit": "MB",
    }
