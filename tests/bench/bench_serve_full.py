"""How the rate of durable events over HTTP changes while a store grows to 20 million events.

It takes half an hour and 30 GB, so it runs only when it is named: ``python -m tests.bench
serve_full``. BENCH_EVENTS bounds how many events a store grows to.

Invariant: what fills the store are the functions that take usage in, with the same kind of events
that are then sent.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator

from billing.cli.clock import now_at
from billing.operations.grid import AccountCuts
from billing.operations.taken_in import OWNER, keep_totals
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, append_events
from billing.store.store import Connection, open_store
from tests.bench.served import KINDS, body, empty_store, served

SIZES = (0, 1_000_000, 5_000_000, 20_000_000)
_AT_ONCE = 20_000
_BYTES_OF_AN_EVENT = 1_500
# Events of a request, and how many requests, at each size.
_SENT = ((1, 6_000), (1_000, 100))


def run() -> Iterator[dict[str, object]]:
    """The figures of each store at each size."""
    most = int(os.environ.get("BENCH_EVENTS", SIZES[-1]))
    for kind in KINDS:
        with empty_store(kind) as place:
            stored = 0
            for size in [one for one in SIZES if one <= most]:
                free = shutil.disk_usage(tempfile.gettempdir()).free
                if free < (size - stored) * _BYTES_OF_AN_EVENT:
                    print(f"{kind}: no room for {size:,} events", file=sys.stderr)
                    break
                if size > stored:
                    _fill(place.where, events=size - stored)
                    stored = size
                with served(place) as service:
                    service.send([body(1_000)])  # every account is known from here on
                    stored += 1_000
                    for events, requests in _SENT:
                        sent = service.send([body(events) for _ in range(requests)])
                        stored += events * requests
                        said = f"{kind} with {size:,} events, {events:,} a request"
                        yield {
                            "metric": f"{said}: durable events",
                            "value": round(events * requests / sent.seconds),
                            "unit": "events/s",
                        }
                        yield {
                            "metric": f"{said}: answer, p99",
                            "value": round(sent.answer_ms(99), 1),
                            "unit": "ms",
                        }
                        cpu_s = sent.service_cpu_s + sent.database_cpu_s
                        yield {
                            "metric": f"{said}: processor time",
                            "value": round(cpu_s / (events * requests) * 1e6, 1),
                            "unit": "us/event",
                        }


def _fill(where: str, *, events: int) -> None:
    """Store so many events more, of the last 30 days."""
    cuts, chosen = AccountCuts(), random.Random(events)
    received_at = now_at(None)
    with open_store(where) as store:
        for start in range(0, events, _AT_ONCE):
            rows = [
                _event(chosen, received_at=received_at)
                for _ in range(min(_AT_ONCE, events - start))
            ]

            def store_them(connection: Connection, rows: list[NewEvent] = rows) -> None:
                epoch = current_epoch(connection)
                append_events(
                    connection, owner=OWNER, rows=rows, epoch=epoch, received_at=received_at
                )
                keep_totals(connection, events=rows, epoch=epoch, cuts=cuts)

            store.beside(store_them)


def _event(chosen: random.Random, *, received_at: int) -> NewEvent:
    who = chosen.randrange(1_000)
    return NewEvent(
        source="gateway",
        id=f"{chosen.getrandbits(128):032x}",
        payload_digest=f"{chosen.getrandbits(256):064x}",
        account=f"account-{who}",
        occurred_at=received_at - chosen.randrange(30 * 86_400_000_000),
        model=f"model-{who % 7}",
        service_tier="batch" if who % 5 == 0 else "standard",
        region="eu",
        request_tokens=1_000 + who,
        outcome="completed",
        dimensions={},
        units={
            "input_tokens": 1 + chosen.randrange(9_000),
            "cache_read_tokens": 1 + chosen.randrange(900),
            "output_tokens": 1 + chosen.randrange(700),
        },
    )
