"""The last line of defence: what no table takes, whoever writes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing.store.deliveries import append_delivery
from billing.store.invoices import append_invoice
from billing.store.store import Store
from tests.billing.store.made_rows import delivery, event, fill, ingest, invoice, line


@pytest.mark.parametrize(
    "row, named",
    [
        (event(event_id=""), "id_named"),
        (event(source=""), "source_named"),
        (event(account=""), "account_named"),
        (event(digest=""), "payload_digest_named"),
        (event(occurred_at=-1), "occurred_at_bounded"),
        (msgspec.structs.replace(event(), request_tokens=-1), "request_tokens_bounded"),
        (msgspec.structs.replace(event(), outcome=""), "outcome_named"),
    ],
)
def test_an_event_without_a_name_or_under_zero_is_refused(
    store: Store, row: object, named: str
) -> None:
    with pytest.raises(IntegrityError, match=named):
        ingest(store, rows=[row])  # type: ignore[list-item]


def test_the_counters_of_a_delivery_add_up(store: Store) -> None:
    # 4 = 1 + 1 + 1 + 1, and 5 does not.
    with store.write() as connection:
        append_delivery(connection, delivery=delivery(received=4), refusals=[])
    with pytest.raises(IntegrityError, match="adds_up"), store.write() as connection:
        append_delivery(connection, delivery=delivery(name="f:1", received=5), refusals=[])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO epochs VALUES (2, 1.5)",
        "INSERT INTO epochs VALUES ('two', 1)",
        "INSERT INTO number_series VALUES ('us', x'00', 1)",
    ],
)
def test_a_value_of_another_type_is_refused_by_sqlite(
    store: Store, store_path: Path, statement: str
) -> None:
    with pytest.raises(IntegrityError, match=r"cannot store|mismatch"), store.write() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        # It rounds 1.5 where a whole number goes: no fraction gets in, though no error tells.
        "INSERT INTO epochs VALUES ('two', 1)",
        "INSERT INTO epochs VALUES ('1.5', 1)",
    ],
)
def test_a_value_of_another_type_is_refused_by_postgresql(
    store: Store, database: str, statement: str
) -> None:
    with pytest.raises(DBAPIError, match="invalid input syntax"), store.write() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"currency": "US"}, "currency_named"),
        ({"period_end_at": 0}, "period"),
        ({"through_epoch": 0}, "through_epoch_bounded"),
        ({"number": 0}, "number_bounded"),
        ({"digest": ""}, "digest_named"),
    ],
)
def test_a_broken_invoice_is_refused(store: Store, changes: dict[str, int], named: str) -> None:
    with pytest.raises(IntegrityError, match=named), store.write() as connection:
        append_invoice(connection, invoice=replace(invoice(), **changes), lines=[])  # type: ignore[arg-type]


def test_an_account_has_one_invoice_for_a_period_and_epoch(store: Store) -> None:
    with store.write() as connection:
        append_invoice(connection, invoice=invoice(number=1), lines=[line()])
        append_invoice(connection, invoice=invoice(number=2, through_epoch=2), lines=[])
    with pytest.raises(IntegrityError, match=r"(?i)unique"), store.write() as connection:
        append_invoice(connection, invoice=invoice(number=3), lines=[])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO invoice_lines VALUES ('us','2026',9,1,'usage',0,'m','s','u',1,'1',1)",
        "INSERT INTO ledger_entries VALUES ('none', 1, 'revenue', 1)",
        "INSERT INTO refusals VALUES ('none', 1, 'rejected', 'why')",
        "INSERT INTO ledger_transactions VALUES ('t9','invoice','us','2026',9,'USD',1)",
        "INSERT INTO event_corrections VALUES (9, 99, 1, 'acme', 1, 'none')",
        "INSERT INTO backfill_events VALUES ('none','o','s','e9','d',1,'m','t','',1,'x','{}','{}')",
    ],
)
def test_a_part_without_its_whole_is_refused(store: Store, statement: str) -> None:
    with store.write() as connection:
        fill(connection)
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), store.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_posting_names_an_invoice_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(IntegrityError, match="invoice_whole"), store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO ledger_transactions VALUES ('t9','invoice','us',NULL,NULL,'USD',1)"
        )
