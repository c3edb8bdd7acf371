"""Sealing an epoch: what is known now is what a close bills.

Invariant: epochs are sealed in the order of their moments, and an epoch to which nothing was added
is not sealed again, so that a close that is run twice bills through the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.operations.announcement import announce
from billing.store.audit import append_audit
from billing.store.epochs import current_epoch, has_new_facts, last_sealed_at, seal
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The newest sealed epoch; ``new`` is False where it was sealed before."""

    epoch: int
    sealed_at: int
    new: bool


def seal_epoch(store: Store, *, by: str, now_at: int) -> Sealed:
    """Seal the current epoch; where nothing came since the last seal, that one stands.

    DocumentError where the clock stands before the last seal.
    """
    with store.write() as connection:
        last_at = last_sealed_at(connection)
        if last_at is not None and now_at < last_at:
            raise DocumentError(
                "clock",
                f"it is {moment_text(now_at)}, but usage was sealed at {moment_text(last_at)}; set "
                "the clock right",
            )
        if last_at is not None and not has_new_facts(connection):
            epoch = current_epoch(connection) - 1
            return Sealed(epoch=epoch, sealed_at=last_at, new=False)
        epoch = seal(connection, sealed_at=now_at)
        append_audit(
            connection,
            command="seal",
            subject=str(epoch),
            by=by,
            detail={"sealed_at": moment_text(now_at)},
            recorded_at=now_at,
        )
        announce(
            connection,
            kind="epoch.sealed",
            account="",
            subject="epochs",
            data={"epoch": epoch, "sealed_at": moment_text(now_at)},
            now_at=now_at,
        )
    return Sealed(epoch=epoch, sealed_at=now_at, new=True)


def open_epoch(store: Store) -> int:
    """The epoch that events enter now."""
    with store.read() as connection:
        return current_epoch(connection)
