"""Rows for tests of the store: events, totals, and one row in every table.

Invariant: what a test does not name is the same everywhere.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from billing.store.agreements import StoredAgreement, append_agreement
from billing.store.api_keys import (
    ApiKey,
    Revocation,
    Scope,
    append_api_key,
    append_revocation,
)
from billing.store.audit import append_audit
from billing.store.backfills import Backfill, append_backfill, remove_staged, stage_events
from billing.store.correction_details import CorrectedIdentity, EventDetail, ReversalDetail
from billing.store.corrections import Correction, EventStep, append_correction, append_steps
from billing.store.deliveries import Delivery, Refusal, append_delivery
from billing.store.epochs import current_epoch, seal
from billing.store.events import NewEvent, Verdict, append_events
from billing.store.grid import append_grid, set_account_grid
from billing.store.idempotency import StoredAnswer, append_answer
from billing.store.invoices import StoredInvoice, StoredLine, append_invoice, take_number
from billing.store.ledger import LedgerEntry, LedgerTransaction, append_transaction
from billing.store.price_books import StoredBook, append_price_book
from billing.store.store import Connection, Store, open_store
from billing.store.usage_totals import add_totals
from billing.store.waivers import Waiver, append_waiver
from pricing_rules.usage.totals import Cell, Grid, UsageTotal
from tests.billing.store.made_webhooks import fill_webhooks


@contextmanager
def own_store(made_file: Path) -> Iterator[Store]:
    """A copy of a store, for one example of a property."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        shutil.copyfile(made_file, file)
        with open_store(file) as store:
            yield store


def damage(store: Store, *statements: str) -> None:
    """Edit what stands in a store, past its triggers and foreign keys."""
    raw = store.engine.raw_connection()
    cursor = raw.cursor()
    if store.engine.dialect.name == "postgresql":
        cursor.execute("SET LOCAL session_replication_role = replica")
    else:
        cursor.execute("PRAGMA foreign_keys=OFF")
        cursor.execute("PRAGMA query_only=OFF")  # as the last reader left it
        triggers = cursor.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            cursor.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        cursor.execute(statement)
    raw.commit()
    raw.close()


def event(
    event_id: str = "e1",
    *,
    source: str = "gw",
    digest: str = "d1",
    account: str = "acme",
    occurred_at: int = 100,
    units: Mapping[str, int] | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> NewEvent:
    """An event that came in."""
    return NewEvent(
        source=source,
        id=event_id,
        payload_digest=digest,
        account=account,
        occurred_at=occurred_at,
        model="m",
        service_tier="standard",
        region="",
        request_tokens=10,
        outcome="completed",
        dimensions=dimensions or {},
        units={"input_tokens": 10} if units is None else units,
    )


def ingest(
    store: Store, *, rows: Sequence[NewEvent], owner: str = "provider", received_at: int = 1_000
) -> tuple[Verdict, ...]:
    """Append events in one transaction of their own."""
    with store.write() as connection:
        epoch = current_epoch(connection)
        return append_events(
            connection, owner=owner, rows=rows, epoch=epoch, received_at=received_at
        )


def kinds(verdicts: Sequence[Verdict]) -> list[str]:
    """Just what they say."""
    return [verdict.kind for verdict in verdicts]


def total(
    *,
    events: int = 1,
    leaves: Mapping[str, int] | None = None,
    account: str = "acme",
    epoch: int = 1,
    segment_start_at: int = 0,
    model: str = "m",
    size_class_tokens: int = 0,
    dimensions: tuple[tuple[str, str], ...] = (),
    windows: tuple[str, ...] = (),
) -> UsageTotal:
    """The total of one cell."""
    cell = Cell(
        account=account,
        epoch=epoch,
        segment_start_at=segment_start_at,
        model=model,
        service_tier="standard",
        region="",
        size_class_tokens=size_class_tokens,
        outcome="completed",
        dimensions=dimensions,
        windows=windows,
    )
    return UsageTotal(
        cell=cell, events=events, leaves={"input_tokens": 10} if leaves is None else leaves
    )


def invoice(
    *,
    number: int = 1,
    account: str = "acme",
    series: str = "2026",
    period_start_at: int = 0,
    through_epoch: int = 1,
    total_minor: int = 2_230,
) -> StoredInvoice:
    """A finalized invoice over [period_start_at, period_start_at + 1,000)."""
    return StoredInvoice(
        issuer="us",
        series=series,
        number=number,
        account=account,
        period_start_at=period_start_at,
        period_end_at=period_start_at + 1_000,
        through_epoch=through_epoch,
        currency="USD",
        total_minor=total_minor,
        digest="sha256:1",
        document="{}",
        finalized_at=5_000,
    )


def line(
    *, number: int = 1, period_start_at: int = 0, amount_exact: str = "22.30", quantity: int = 8
) -> StoredLine:
    """A line of an invoice."""
    return StoredLine(
        line=number,
        kind="usage",
        period_start_at=period_start_at,
        model="m",
        service_tier="standard",
        unit="input_tokens",
        quantity=quantity,
        amount_exact=amount_exact,
        amount_minor=2_230,
    )


def book(
    *, number: int = 1, series: str = "list", effective_from: int = 0, published_at: int = 0
) -> StoredBook:
    """A published price book."""
    return StoredBook(
        series=series,
        number=number,
        effective_from=effective_from,
        published_at=published_at,
        digest=f"sha256:{number}",
        document="{}",
    )


def agreement(
    *, version: int = 1, account: str = "acme", effective_from: int = 0, accepted_at: int = 0
) -> StoredAgreement:
    """An accepted agreement."""
    return StoredAgreement(
        account=account,
        version=version,
        effective_from=effective_from,
        accepted_at=accepted_at,
        digest=f"sha256:{version}",
        document="{}",
    )


def delivery(
    *,
    name: str = "f:0",
    received: int = 4,
    accepted: int = 1,
    duplicate: int = 1,
    conflict: int = 1,
    rejected: int = 1,
) -> Delivery:
    """The counters of one batch."""
    return Delivery(
        delivery=name,
        file="usage.jsonl",
        first_row=1,
        received=received,
        accepted=accepted,
        duplicate=duplicate,
        conflict=conflict,
        rejected=rejected,
        received_at=1_000,
    )


def waiver(*, unit: str = "input_tokens") -> Waiver:
    """A waiver of one unit."""
    return Waiver(
        account="acme",
        period_start_at=0,
        model="m",
        service_tier="standard",
        unit=unit,
        reason="a trial",
        by="dana",
        waived_at=1_000,
    )


def api_key(
    *, prefix: str = "tw_1", digest: str = "d1", scope: Scope = "operator", account: str = ""
) -> ApiKey:
    """A key of this scope, or of an account."""
    return ApiKey(
        prefix=prefix,
        digest=digest,
        scope="account" if account else scope,
        account=account,
        name="dashboard",
        by="dana",
        made_at=1_000,
        expires_at=None,
        requests_per_s=50,
    )


def command_answer(*, idempotency_key: str = "k1", target: str = "POST /v1/keys") -> StoredAnswer:
    """What a command was answered."""
    return StoredAnswer(
        owner="provider",
        target=target,
        idempotency_key=idempotency_key,
        request_digest="sha256:1",
        status=201,
        document="{}",
        answered_at=1_000,
    )


def correction(
    name: str = "cor_1", *, account: str = "acme", reverts: str | None = None, epoch: int = 1
) -> Correction:
    """That an event was voided, or that this was reverted."""
    return Correction(
        correction=name,
        kind="void" if reverts is None else "reversal",
        account=account,
        reason="sent twice",
        by="dana",
        reverts=reverts,
        detail=ReversalDetail(steps=1)
        if reverts
        else EventDetail(owner="provider", event=CorrectedIdentity(source="gw", id="e1"), steps=1),
        epoch=epoch,
        recorded_at=2_000,
    )


def step(
    event_seq: int = 1,
    *,
    number: int = 1,
    account: str = "acme",
    epoch: int = 1,
    of: str = "cor_1",
) -> EventStep:
    """A step of an event."""
    return EventStep(event=event_seq, step=number, account=account, epoch=epoch, correction=of)


def fill(connection: Connection) -> None:
    """One row in every table, as a close would leave them."""
    append_events(connection, owner="provider", rows=[event()], epoch=1, received_at=1_000)
    add_totals(connection, totals=[total(leaves={})])
    append_grid(connection, grid=Grid(), reason="the first", registered_at=1_000)
    set_account_grid(connection, account="acme", grid_version=1, agreement_version=0)
    append_price_book(connection, book=book())
    append_agreement(connection, agreement=agreement())
    append_delivery(
        connection,
        delivery=delivery(),
        refusals=[Refusal(row=2, verdict="rejected", reason="is no event")],
    )
    append_correction(connection, correction=correction())
    append_steps(connection, steps=[step()])
    _backfill(connection)
    seal(connection, sealed_at=2_000)
    number = take_number(connection, issuer="us", series="2026")
    append_invoice(connection, invoice=invoice(number=number), lines=[line()])
    post(connection)
    append_waiver(connection, waiver=waiver())
    fill_webhooks(connection)
    append_api_key(connection, key=api_key())
    append_answer(connection, answer=command_answer())
    append_revocation(
        connection,
        revocation=Revocation(prefix="tw_1", reason="lost", by="dana", revoked_at=2_000),
    )
    append_audit(
        connection, command="close", subject="acme", by="dana", detail={}, recorded_at=5_000
    )


def backfill(name: str = "bf_1", *, account: str = "acme", opened_at: int = 2_000) -> Backfill:
    """A backfill of [0, 1,000)."""
    return Backfill(
        backfill=name,
        account=account,
        start_at=0,
        end_at=1_000,
        reason="lost",
        by="dana",
        opened_at=opened_at,
    )


def _backfill(connection: Connection) -> None:
    """Two backfills that were opened: one with a staged event, one of which it was dropped."""
    for name in ("bf_1", "bf_2"):
        append_backfill(connection, backfill=backfill(name))
        stage_events(connection, backfill=backfill(name), owner="provider", events=[event("e9")])
    remove_staged(connection, backfill="bf_2")


def post(connection: Connection, *, name: str = "t1", amount_minor: int = 2_230) -> None:
    """A posting that names no invoice: receivable against revenue."""
    transaction = LedgerTransaction(
        id=name,
        kind="invoice",
        issuer=None,
        series=None,
        number=None,
        currency="USD",
        posted_at=5_000,
    )
    entries = [
        LedgerEntry(ledger_account="receivable:acme", amount_minor=amount_minor),
        LedgerEntry(ledger_account="revenue:usage", amount_minor=-amount_minor),
    ]
    append_transaction(connection, transaction=transaction, entries=entries)
