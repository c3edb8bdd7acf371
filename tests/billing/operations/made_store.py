"""A store as the operations leave it: books published, agreements accepted, events ingested.

Invariant: everything goes in through the operations that a command calls; nothing is planted here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select

from billing.domain.invoice.invoice import Invoice
from billing.operations.agreement import Accepted, accept_agreement
from billing.operations.close import CloseReport, close
from billing.operations.floor_override import FloorOverride
from billing.operations.ingest import IngestReport, ingest
from billing.operations.stored_book import BookStored, store_book
from billing.operations.stored_invoice import read_checked
from billing.store.store import Store
from billing.store.table_parts import METADATA
from billing.store.whole import read_all_invoices
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.prices.price_book import load_price_book
from tests.journeys.made_files import Json, book, card, event, rate_of, write_events

START_AT = parse_moment("2026-09-01T00:00:00Z")
"""When books are published and agreements accepted, unless a test says otherwise."""

IN_NOVEMBER_AT = parse_moment("2026-11-02T00:00:00Z")
IN_DECEMBER_AT = parse_moment("2026-12-02T00:00:00Z")

PLAIN = book(card(rate_of("input_tokens", "2"), rate_of("output_tokens", "8")))
"""Input at 2 and output at 8 per million."""

LADDER = {
    "id": "input",
    "kind": "graduated",
    "bands": [{"up_to": "10000000", "rate": "2"}, {"rate": "1"}],
}


def ladder_books() -> tuple[Json, Json]:
    """Graduated with a bound of 10M: 2 and 1 per million, from 2026-10-15 on 1.80 and .90."""
    later = {**LADDER, "bands": [{"up_to": "10000000", "rate": "1.80"}, {"rate": "0.90"}]}
    return (
        book(card(rate_of("input_tokens", ladder=LADDER))),
        book(
            card(rate_of("input_tokens", ladder=later)),
            number=2,
            effective_from="2026-10-15T00:00:00Z",
        ),
    )


def agreement_text(account: str = "a", **fields: Json) -> str:
    """An agreement as a file says it: in USD, series s, UTC, without tax, from September on."""
    value = {
        "schema": "tokenworks.agreement/1",
        "account": account,
        "version": 1,
        "series": "s",
        "currency": "USD",
        "zone": "UTC",
        "effective_from": "2026-09-01T00:00:00Z",
        "issuer": {"name": "Example Tokens"},
        "bill_to": {"name": f"{account} Inc."},
        "payment_terms_days": 30,
        "tax": {"category": "Z"},
        **fields,
    }
    return json.dumps(value)  # JSON is YAML


def publish(
    store: Store,
    value: Json,
    *,
    published_at: int = START_AT,
    override: FloorOverride | None = None,
) -> BookStored:
    """Put a book into the store as one that was published at a moment."""
    data = json.dumps({**value, "published_at": moment_text(published_at)}).encode()
    return store_book(
        load_price_book(data, name="book.json"),
        store=store,
        by="dana",
        now_at=published_at,
        override=override,
    )


def accept(
    store: Store,
    folder: Path,
    *,
    account: str = "a",
    now_at: int = START_AT,
    override: FloorOverride | None = None,
    fields: Json | None = None,
) -> Accepted:
    """Accept an agreement of an account."""
    path = folder / f"{account}.yaml"
    path.write_text(agreement_text(account, **(fields or {})), encoding="utf-8")
    return accept_agreement(path, store=store, by="dana", now_at=now_at, override=override)


def deliver(
    store: Store,
    folder: Path,
    events: Sequence[Json],
    *,
    now_at: int = IN_NOVEMBER_AT,
    batch_size: int = 10_000,
) -> IngestReport:
    """Ingest events."""
    path = write_events(folder, events, form="jsonl")
    return ingest(path, store=store, now_at=now_at, by="gateway", batch_rows=batch_size)


def deliver_ladder(store: Store, folder: Path) -> None:
    """The ladder example: 8M before the price change and 5M after it."""
    for value in ladder_books():
        publish(store, value)
    accept(store, folder)
    deliver(
        store,
        folder,
        [
            event(1, {"input_tokens": 8_000_000}, time="2026-10-02T00:00:00Z"),
            event(2, {"input_tokens": 5_000_000}, time="2026-10-20T00:00:00Z"),
        ],
    )


def deliver_late(store: Store, folder: Path, *more: Json) -> None:
    """A late 3M of before the price change, and more."""
    late = event(3, {"input_tokens": 3_000_000}, time="2026-10-02T00:00:00Z")
    deliver(store, folder, [late, *more], now_at=IN_NOVEMBER_AT + 86_400_000_000)


def closed(
    store: Store, month: str = "2026-10", *, now_at: int = IN_NOVEMBER_AT, dry_run: bool = False
) -> CloseReport:
    """Close a month."""
    return close(store, month=month, by="dana", now_at=now_at, dry_run=dry_run)


def invoices(store: Store) -> tuple[Invoice, ...]:
    """Every invoice by number, digests checked."""
    with store.read() as connection:
        return tuple(read_checked(one) for one in read_all_invoices(connection))


def row_counts(store: Store) -> dict[str, int]:
    """How many rows each table of the store has."""
    with store.read() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(table)) or 0
            for name, table in METADATA.tables.items()
        }
