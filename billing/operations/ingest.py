"""Ingest: the events of a usage file into the store, batch by batch, with their totals.

Invariant: a batch is stored whole or not at all, once, with what became of each of its rows:
received = accepted + duplicate + conflict + rejected, over what is committed. The same events in
any order, in any batches, in any files, leave the same events and totals (I11-I14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from billing.engines.event_source import EventTable
from billing.engines.event_sums import sum_events
from billing.operations.grid import AccountCuts
from billing.operations.new_events import new_events
from billing.operations.usage_file import Trace, UsageFile
from billing.store.agreements import latest_agreement_versions
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
from billing.store.grid import (
    AccountGrid,
    append_account_grids,
    current_grid,
    read_account_grids,
)
from billing.store.points import reach
from billing.store.store import Connection, Store
from billing.store.usage_totals import add_totals
from pricing_rules.period import MICROSECONDS, Period, moment_text, parse_moment

OWNER = "provider"
"""Who owns the identities of events: one deployment serves one provider."""

BATCH_ROWS = 10_000
"""Rows of one transaction."""

FIRST_EVENT_AT = parse_moment("2000-01-01T00:00:00Z")
FUTURE_MINUTES = 15
"""When an event may have happened: not before that moment, nor longer after it came in than
clocks differ.
"""


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
        events, rows, rejected = _checked(part, now_at=self.now_at)
        reach("ingest.batch_read")
        with self.store.write() as connection:
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
                self._keep_totals(connection, events=new, epoch=epoch)
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
        self.audited = True
        reach("ingest.batch_done")
        return _Taken(delivery=delivery, refusals=refusals, before=False)

    def _keep_totals(
        self, connection: Connection, *, events: Sequence[NewEvent], epoch: int
    ) -> None:
        """Add new events to the totals of their accounts, each under the versions of its own."""
        accounts = sorted({event.account for event in events})
        built = read_account_grids(connection, accounts=accounts)
        first_seen = [account for account in accounts if account not in built]
        if first_seen:
            newest, agreed = current_grid(connection), latest_agreement_versions(connection)
            made = [
                AccountGrid(
                    account=account,
                    grid_version=newest.version,
                    agreement_version=agreed.get(account, 0),
                )
                for account in first_seen
            ]
            append_account_grids(connection, grids=made)
            built |= {one.account: one for one in made}
        moments = [event.occurred_at for event in events]
        span = Period(start_at=min(moments), end_at=max(moments) + 1)
        grids = {
            account: self.cuts.grid(connection, versions=built[account], span=span)
            for account in accounts
        }
        add_totals(connection, totals=sum_events(events, epoch=epoch, grids=grids))

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


def _checked(
    part: EventTable, *, now_at: int
) -> tuple[list[NewEvent], list[int], tuple[Refusal, ...]]:
    """The events of a part, their rows, and the rows that are refused, by row."""
    latest_at = now_at + FUTURE_MINUTES * 60 * MICROSECONDS
    moments = part.table["occurred_at"]
    inside = pc.and_(pc.greater_equal(moments, FIRST_EVENT_AT), pc.less_equal(moments, latest_at))
    table: pa.Table = part.table
    refused = [(verdict.row, verdict.reason) for verdict in part.rejected]
    if not pc.all(inside, min_count=0).as_py():
        outside = table.filter(pc.invert(inside))
        for row, moment_at in zip(
            outside["row"].to_pylist(), outside["occurred_at"].to_pylist(), strict=True
        ):
            refused.append((row, f"row {row} time: {_out_of_time(moment_at, now_at=now_at)}"))
        table = table.filter(inside)
    rejected = [Refusal(row=row, verdict="rejected", reason=why) for row, why in sorted(refused)]
    return new_events(table), table["row"].to_pylist(), tuple(rejected)


def _out_of_time(moment_at: int, *, now_at: int) -> str:
    if moment_at < FIRST_EVENT_AT:
        return f"{moment_text(moment_at)} lies before {moment_text(FIRST_EVENT_AT)}; correct it"
    return (
        f"{moment_text(moment_at)} lies more than {FUTURE_MINUTES} minutes after it came in at "
        f"{moment_text(now_at)}; correct it, or send it in another file when it has happened"
    )


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
