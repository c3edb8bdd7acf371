"""What a store must hold after a load: compared with the record of what was sent and answered.

Invariant: findings are sentences, and none means that every acknowledged event is there once, and
nothing else is, with its totals and counters.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from billing.operations.verify import verify
from billing.store.deliveries import sum_deliveries
from billing.store.store import Connection, Store
from tests.survival.load import Load

VERDICTS = ("accepted", "duplicate", "conflict", "rejected")

_OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tokenworks' "
    "AND datname = current_database() AND pid <> pg_backend_pid()"
)


def settle(store: Store, *, load: Load) -> None:
    """Tell the load which of its unanswered requests are stored, once nobody writes any more."""
    ids = [event_id for sent in load.unanswered for event_id in sent.new_ids]
    with store.read() as connection:
        while connection.dialect.name == "postgresql" and _backends(store):
            time.sleep(0.005)  # what was killed may have sent its COMMIT
    with store.read() as connection:
        load.settle(set(_stored_ids(connection, among=ids)))


def _backends(store: Store) -> int:
    with store.read() as connection:
        found: int = connection.exec_driver_sql(_OTHERS).scalar_one()
        # The transaction around this one is of the same store.
        return found - 1


def _stored_ids(connection: Connection, *, among: Sequence[str]) -> Iterator[str]:
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    for start in range(0, len(among), 500):
        part = tuple(among[start : start + 500])
        marks = ", ".join([mark] * len(part))
        query = f"SELECT id FROM event_ids WHERE id IN ({marks})"
        yield from connection.exec_driver_sql(query, part).scalars()


def findings(store: Store, *, load: Load) -> list[str]:
    """All that is not as it must be, when every request was answered."""
    assert not load.pending
    assert not load.recorded
    with store.read() as connection:
        ids = Counter(connection.exec_driver_sql("SELECT id FROM event_ids").scalars())
        events = Counter(connection.exec_driver_sql("SELECT id FROM events").scalars())
        totals: Counter[tuple[str, str]] = Counter()
        for account, requests, leaves in connection.exec_driver_sql(
            "SELECT account, events, leaves FROM usage_totals"
        ):
            counts = {"requests": requests, **json.loads(leaves)}
            totals.update({(account, unit): count for unit, count in counts.items()})
        sums = sum_deliveries(connection)
    found = []
    for name, stored in (("event_ids", ids), ("events", events)):
        lost = load.acknowledged.keys() - stored.keys()
        strange = stored.keys() - load.acknowledged.keys()
        twice = [one for one, times in stored.items() if times > 1]
        if lost or strange or twice:
            found.append(f"{name}: {len(lost)} lost, {len(strange)} strange, {len(twice)} twice")
    expected = _totals(load)
    if totals != expected:
        cells = sorted(key for key in {*totals, *expected} if totals[key] != expected[key])
        first = f"{cells[0]} is {totals[cells[0]]}, and its events sum to {expected[cells[0]]}"
        found.append(f"totals: {len(cells)} are wrong, {first}")
    counted = Counter({verdict: getattr(sums, verdict) for verdict in VERDICTS})
    if counted != load.counters or sums.received != load.counters.total():
        found.append(f"counters are {dict(counted)}, and {dict(load.counters)} were sent")
    found += _verified(store)
    return found


def _totals(load: Load) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for one in load.acknowledged.values():
        sums[one.account, "input_tokens"] += one.count
        sums[one.account, "requests"] += 1
    return sums


def _verified(store: Store) -> list[str]:
    verified = verify(store).verified
    equations = [one.text() for one in verified.equations if not one.holds]
    return [*equations, *(f"{one.where}: {one.sentence}" for one in verified.damage[:5])]
