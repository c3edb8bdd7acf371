"""The epoch: one integer for the deployment that every event and every total carries.

Invariant: it grows by one with each seal, in a transaction that writes; whoever reads it in such a
transaction has it until the commit, so that no event enters an epoch that is sealed.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from billing.store.points import reach
from billing.store.statements import run
from billing.store.tables import AGREEMENTS, EPOCHS, EVENT_CORRECTIONS, EVENTS, PRICE_BOOKS

FIRST_EPOCH = 1


def current_epoch(connection: Connection) -> int:
    """The epoch that events enter now; the first is 1."""
    (sealed,) = run(connection, statement="SELECT max(epoch) FROM epochs").fetchone()
    return int(sealed or FIRST_EPOCH - 1) + 1


def seal(connection: Connection, *, sealed_at: int) -> int:
    """Seal the current epoch, and give its number; events that come later enter the next one."""
    epoch = current_epoch(connection)
    connection.execute(insert(EPOCHS).values(epoch=epoch, sealed_at=sealed_at))
    reach("epoch.sealed")
    return epoch


def epoch_sealed_at(connection: Connection, *, epoch: int) -> int | None:
    """The moment at which an epoch was sealed; None while it is not."""
    return connection.scalar(select(EPOCHS.c.sealed_at).where(EPOCHS.c.epoch == epoch))


def last_sealed_at(connection: Connection) -> int | None:
    """The moment at which the last epoch was sealed; None before the first seal."""
    return epoch_sealed_at(connection, epoch=current_epoch(connection) - 1)


def has_new_facts(connection: Connection) -> bool:
    """Whether an event or a correction entered the current epoch, or a price book was published or
    an agreement accepted after the last seal: whether a seal would add something.
    """
    sealed_at = last_sealed_at(connection)
    if sealed_at is None:
        return True
    epoch = current_epoch(connection)
    for table in (EVENTS, EVENT_CORRECTIONS):
        newest = select(table.c.epoch).order_by(table.c.seq.desc()).limit(1)
        if connection.scalar(newest) == epoch:
            return True
    published_at = connection.scalar(select(func.max(PRICE_BOOKS.c.published_at))) or 0
    accepted_at = connection.scalar(select(func.max(AGREEMENTS.c.accepted_at))) or 0
    return max(published_at, accepted_at) > sealed_at
