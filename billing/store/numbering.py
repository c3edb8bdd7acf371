"""The last numbers of events and of steps of corrections, and when nothing before them is open.

On PostgreSQL transactions that run beside each other take numbers before they commit: a later
number may be there before an earlier one. Who takes a number holds a lock on its sequence until the
transaction ends, so the database itself says which are open; one that is prepared holds it without
a process. On SQLite a writer is alone, and numbers come in their order.

Invariant: once ``settled_numbers`` gave them, what is stored up to these numbers stays the same.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from billing.store.corrections import last_step_seq
from billing.store.events import last_event_seq
from billing.store.postgresql import BUSY_TIMEOUT_S
from billing.store.statements import run
from billing.store.store import Connection, Store, StoreBusyError

_PAUSE_S = 0.005

_TAKERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation IN (
    pg_get_serial_sequence('events', 'seq')::regclass,
    pg_get_serial_sequence('event_corrections', 'seq')::regclass
  )
"""


class Numbers(NamedTuple):
    """The ``seq`` of an event and of a step of a correction."""

    event: int
    step: int


def last_numbers(connection: Connection) -> Numbers:
    """The last ones; 0 where there is none."""
    return Numbers(last_event_seq(connection), last_step_seq(connection))


def numbers_settled(connection: Connection) -> bool:
    """Whether nothing can come before the last numbers any more, whoever else writes."""
    return connection.dialect.name == "sqlite"


def settled_numbers(store: Store) -> Numbers:
    """The last ones, after every transaction has ended that may have taken one before them.

    StoreBusyError where one lasts for longer than we wait.
    """
    with store.read() as connection:
        numbers = last_numbers(connection)
        takers = _takers(connection)
        ends_s = time.monotonic() + BUSY_TIMEOUT_S
        while takers:
            if time.monotonic() >= ends_s:
                raise StoreBusyError(
                    store.where, "others have been storing events for long; try again"
                )
            time.sleep(_PAUSE_S)
            takers &= _takers(connection)
    return numbers


def _takers(connection: Connection) -> set[str]:
    """The transactions of others that have taken a number and are open."""
    if numbers_settled(connection):
        return set()
    return {name for (name,) in run(connection, statement=_TAKERS)}
