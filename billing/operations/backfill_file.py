"""A usage file as a backfill: staged in parts, then applied whole, or only tried.

Invariant: where a row of the file is refused nothing is applied; and what was staged in vain is
forgotten, so that the file is mended and the command run again. What is only tried leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from billing.operations.applied_backfill import apply_backfill
from billing.operations.backfill import (
    ForeseenBackfill,
    ShownBackfill,
    StagedEvent,
    checked_backfill,
    drop_staged,
    foresee_backfill,
    open_backfill,
    stage,
)
from billing.operations.ingest import BATCH_ROWS, checked_rows
from billing.operations.usage_file import UsageFile
from billing.store.backfills import append_backfill
from billing.store.deliveries import Refusal
from billing.store.events import NewEvent
from billing.store.store import Connection, Store, StoreError
from pricing_rules.document import DocumentError
from pricing_rules.period import Period

_FIELDS = {"/subject": "account", "/time": "time"}
"""JSON pointer into an event -> what the column is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackfill:
    """A backfill that a file is to be: under which name, of what, why, by whom and when."""

    backfill: str
    account: str
    period: Period
    reason: str
    by: str
    now_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBackfill:
    """A backfill of a file. ``shown``: as it stands, open where a row was refused; None where it
    was only tried.

    ``received``: the rows of the file, of which ``duplicate`` were there before, and ``refusals``
    are those that could not be staged. ``foreseen``: what applying it would do, where it was only
    tried and nothing was refused.
    """

    shown: ShownBackfill | None
    received: int
    duplicate: int
    refusals: tuple[Refusal, ...]
    foreseen: ForeseenBackfill | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    received: int
    duplicate: int
    refusals: tuple[Refusal, ...]


def load_backfill(
    path: Path,
    *,
    store: Store,
    wanted: NewBackfill,
    progress: Callable[[int], None] | None = None,
) -> LoadedBackfill:
    """Make the events of a file those of the account in the period: CloudEvents, CSV or Parquet.

    They are staged a part at a time, and applied in one transaction unless a row is refused: one
    that is no event, is of another account or time, or whose id has another content. ``progress``
    is called with the rows that are staged. DocumentError where the file as a whole cannot be read
    or has no rows, or the backfill is refused; StoreError where the store cannot take it.
    """
    with _staged(path, store=store, wanted=wanted, progress=progress) as staged:
        if staged.refusals:
            shown = _dropped(store, wanted=wanted)
        else:
            events = staged.received - staged.duplicate
            shown = _applied(store, wanted=wanted, events=events)
    return _loaded(staged, shown=shown, foreseen=None)


def try_backfill(
    path: Path,
    *,
    store: Store,
    wanted: NewBackfill,
    progress: Callable[[int], None] | None = None,
) -> LoadedBackfill:
    """As ``load_backfill``, but nothing is applied: what applying would do is told instead.

    It is staged to be counted, in one transaction that leaves nothing; on SQLite nobody else writes
    meanwhile.
    """
    file = UsageFile(path, trace=None)
    one = checked_backfill(
        wanted.backfill,
        account=wanted.account,
        period=wanted.period,
        reason=wanted.reason,
        by=wanted.by,
        now_at=wanted.now_at,
    )

    def tried(connection: Connection) -> LoadedBackfill:
        trial = connection.begin_nested()
        append_backfill(connection, backfill=one)
        staged = _all_staged(
            file,
            now_at=wanted.now_at,
            put=lambda events: stage(connection, backfill=one.backfill, events=events),
            progress=progress,
        )
        foreseen = None
        if not staged.refusals:
            foreseen = foresee_backfill(connection, backfill=one.backfill)
        trial.rollback()
        return _loaded(staged, shown=None, foreseen=foreseen)

    return store.beside(tried)


@contextmanager
def _staged(
    path: Path, *, store: Store, wanted: NewBackfill, progress: Callable[[int], None] | None
) -> Iterator[_Staged]:
    """The file, staged under an open backfill; where it fails inside, all of it is forgotten."""
    file = UsageFile(path, trace=None)
    store.beside(
        lambda connection: open_backfill(
            connection,
            backfill=wanted.backfill,
            account=wanted.account,
            period=wanted.period,
            reason=wanted.reason,
            by=wanted.by,
            now_at=wanted.now_at,
        )
    )

    def put(events: list[NewEvent]) -> tuple[StagedEvent, ...]:
        return store.beside(
            lambda connection: stage(connection, backfill=wanted.backfill, events=events)
        )

    try:
        yield _all_staged(file, now_at=wanted.now_at, put=put, progress=progress)
    except DocumentError as error:
        if not isinstance(error, StoreError):
            _dropped(store, wanted=wanted)
        raise


def _all_staged(
    file: UsageFile,
    *,
    now_at: int,
    put: Callable[[list[NewEvent]], tuple[StagedEvent, ...]],
    progress: Callable[[int], None] | None,
) -> _Staged:
    """What became of the rows; ``put`` stages a part of them."""
    received = duplicate = 0
    refusals: list[Refusal] = []
    for part in file.parts(BATCH_ROWS):
        events, rows, rejected = checked_rows(part, now_at=now_at)
        told = put(events)
        duplicate += sum(one.kind == "duplicate" for one in told)
        refusals += rejected
        refusals += [
            _refusal(event, row=row, one=one)
            for row, event, one in zip(rows, events, told, strict=True)
            if one.kind in ("conflict", "rejected")
        ]
        received += len(events) + len(rejected)
        if progress is not None:
            progress(received)
    if not received:  # an export that failed is not usage that never was
        raise DocumentError(
            file.path.name,
            "has no rows, so that all usage of the period would be voided; where that is meant, "
            "apply a backfill of 0 events over HTTP",
        )
    in_order = sorted(refusals, key=lambda one: one.row)
    return _Staged(received=received, duplicate=duplicate, refusals=tuple(in_order))


def _refusal(event: NewEvent, *, row: int, one: StagedEvent) -> Refusal:
    if one.kind == "conflict":
        said = f'row {row}: the event "{event.id}" of "{event.source}" is refused: {one.reason}'
        return Refusal(row=row, verdict="conflict", reason=said)
    said = f"row {row} {_FIELDS[one.pointer]}: {one.reason}"
    return Refusal(row=row, verdict="rejected", reason=said)


def _applied(store: Store, *, wanted: NewBackfill, events: int) -> ShownBackfill:
    return store.beside(
        lambda connection: apply_backfill(
            connection,
            backfill=wanted.backfill,
            events=events,
            by=wanted.by,
            now_at=wanted.now_at,
        )
    )


def _dropped(store: Store, *, wanted: NewBackfill) -> ShownBackfill:
    return store.beside(
        lambda connection: drop_staged(
            connection, backfill=wanted.backfill, by=wanted.by, now_at=wanted.now_at
        )
    )


def _loaded(
    staged: _Staged, *, shown: ShownBackfill | None, foreseen: ForeseenBackfill | None
) -> LoadedBackfill:
    return LoadedBackfill(
        shown=shown,
        received=staged.received,
        duplicate=staged.duplicate,
        refusals=staged.refusals,
        foreseen=foreseen,
    )
