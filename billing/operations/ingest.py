"""Ingest: the events of a usage file into the store, batch by batch, with their totals.

Invariant: a batch is stored whole or not at all, once, with what became of each of its rows:
received = accepted + duplicate + conflict + rejected, over what is committed. The same events in
any order, in any batches, in any files, leave the same events and totals (I11-I14).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from billing.engines.event_source import EventTable
from billing.operations.grid import AccountCuts
from billing.operations.new_events import new_events
from billing.operations.taken_in import (
    FIRST_EVENT_AT,
    OWNER,
    keep_totals,
    last_event_at,
    out_of_time,
)
from billing.operations.usage_file import Trace, UsageFile
from billing.store.audit import append_audit
from billing.store.deliveries import (
    Delivery,
    Refusal,
    append_delivery,
    read_delivery,
    read_refusals,
)
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, append_events
from billing.store.locks import lock_name
from billing.store.points import reach
from billing.store.store import Connection, Store
from pricing_rules.period import moment_text

BATCH_ROWS = 10_000
"""Rows of one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What became of the rows of a file, over all its batches.

    ``delivered_before``: how many of its batches an earlier run had stored; they were not stored
    again, and count as they did then. ``refusals``: the rejected and the conflicting rows.
    """

    file: str
    digest: str
    batches: int = 0
    delivered_before: int = 0
    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    refusals: tuple[Refusal, ...] = ()

    @property
    def already_delivered(self) -> bool:
        """Whether this run stored nothing, because all was stored before."""
        return 0 < self.batches == self.delivered_before


def ingest(
    path: Path,
    *,
    store: Store,
    now_at: int,
    by: str,
    trace: Trace | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[int], None] | None = None,
) -> IngestReport:
    """Store the events of a file: CloudEvents, CSV or Parquet by its ending, or a trace.

    ``now_at`` is when they come in. Each batch is one transaction; stopped midway, the next run
    with the same ``batch_rows`` goes on after the last batch that was stored. A row that is no
    event, lies too far from now, or bears the identity of another event, is refused and named, and
    the others are kept. ``progress`` is called with the rows that are done. DocumentError where the
    file as a whole cannot be read; StoreError where the store cannot take it.
    """
    reach("ingest.started")
    file = UsageFile(path, trace=trace)
    run = _Run(store=store, file=file, now_at=now_at, by=by)
    report = IngestReport(file=path.name, digest=file.digest)
    refusals: list[Refusal] = []
    for number, part in enumerate(file.parts(batch_rows), start=1):
        name = f"{file.digest}:{number}:{batch_rows}"
        taken = run.known(name) or run.store_part(part, name=name)
        refusals += taken.refusals
        report = _added(report, taken)
        if progress is not None:
            progress(report.received)
    reach("ingest.done")
    return replace(report, refusals=tuple(refusals))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A batch that is stored, and its refused rows."""

    delivery: Delivery
    refusals: tuple[Refusal, ...]
    before: bool


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of the command over the batches of one file."""

    store: Store
    file: UsageFile
    now_at: int
    by: str
    cuts: AccountCuts = field(default_factory=AccountCuts)
    audited: bool = False

    def known(self, name: str) -> _Taken | None:
        """A batch that was stored before, as it was recorded."""
        with self.store.read() as connection:
            return _recorded(connection, name=name)

    def store_part(self, part: EventTable, *, name: str) -> _Taken:
        """Store a batch in one transaction, unless another process did meanwhile."""
        events, rows, rejected = checked_rows(part, now_at=self.now_at)
        reach("ingest.batch_read")

        def store_it(connection: Connection) -> _Taken:
            lock_name(connection, name=f"delivery {name}")
            recorded = _recorded(connection, name=name)
            if recorded is not None:
                return recorded
            epoch = current_epoch(connection)
            reach("ingest.epoch_read")
            verdicts = append_events(
                connection, owner=OWNER, rows=events, epoch=epoch, received_at=self.now_at
            )
            new = [e for e, v in zip(events, verdicts, strict=True) if v.kind == "accepted"]
            if new:
                keep_totals(connection, events=new, epoch=epoch, cuts=self.cuts)
            conflicts = [
                _conflict(event, row=row, first_received_at=verdict.first_received_at)
                for row, event, verdict in zip(rows, events, verdicts, strict=True)
                if verdict.kind == "conflict"
            ]
            refusals = tuple(sorted([*rejected, *conflicts], key=lambda one: one.row))
            delivery = Delivery(
                delivery=name,
                file=self.file.path.name,
                first_row=min([*rows[:1], *(one.row for one in rejected[:1])]),
                received=len(events) + len(rejected),
                accepted=len(new),
                duplicate=len(events) - len(new) - len(conflicts),
                conflict=len(conflicts),
                rejected=len(rejected),
                received_at=self.now_at,
            )
            append_delivery(connection, delivery=delivery, refusals=refusals)
            if not self.audited:
                self._audit(connection, first_delivery=name)
            return _Taken(delivery=delivery, refusals=refusals, before=False)

        taken = self.store.beside(store_it)
        self.audited |= not taken.before
        reach("ingest.batch_done")
        return taken

    def _audit(self, connection: Connection, *, first_delivery: str) -> None:
        """One row for a run, with the first batch that it stores; the others are deliveries."""
        append_audit(
            connection,
            command="ingest",
            subject=self.file.path.name,
            by=self.by,
            detail={"first_delivery": first_delivery, **self.file.reading},
            recorded_at=self.now_at,
        )


def checked_rows(
    part: EventTable, *, now_at: int
) -> tuple[list[NewEvent], list[int], tuple[Refusal, ...]]:
    """The events of a part, their rows, and the rows that are refused, by row."""
    moments = part.table["occurred_at"]
    earliest = pc.greater_equal(moments, FIRST_EVENT_AT)
    inside = pc.and_(earliest, pc.less_equal(moments, last_event_at(now_at)))
    table: pa.Table = part.table
    refused = [(verdict.row, verdict.reason) for verdict in part.rejected]
    if not pc.all(inside, min_count=0).as_py():
        outside = table.filter(pc.invert(inside))
        for row, moment_at in zip(
            outside["row"].to_pylist(), outside["occurred_at"].to_pylist(), strict=True
        ):
            refused.append((row, f"row {row} time: {out_of_time(moment_at, now_at=now_at)}"))
        table = table.filter(inside)
    rejected = [Refusal(row=row, verdict="rejected", reason=why) for row, why in sorted(refused)]
    return new_events(table), table["row"].to_pylist(), tuple(rejected)


def _conflict(event: NewEvent, *, row: int, first_received_at: int) -> Refusal:
    sentence = (
        f'row {row}: the event "{event.id}" of "{event.source}" has other content here than the '
        f"one that came in at {moment_text(first_received_at)}, which stands"
    )
    return Refusal(row=row, verdict="conflict", reason=sentence)


def _recorded(connection: Connection, *, name: str) -> _Taken | None:
    delivery = read_delivery(connection, delivery=name)
    if delivery is None:
        return None
    refusals = read_refusals(connection, delivery=name)
    return _Taken(delivery=delivery, refusals=refusals, before=True)


def _added(report: IngestReport, taken: _Taken) -> IngestReport:
    one = taken.delivery
    return replace(
        report,
        batches=report.batches + 1,
        delivered_before=report.delivered_before + taken.before,
        received=report.received + one.received,
        accepted=report.accepted + one.accepted,
        duplicate=report.duplicate + one.duplicate,
        conflict=report.conflict + one.conflict,
        rejected=report.rejected + one.rejected,
    )
