"""Books, agreements, epochs, deliveries, waivers and the audit go in and come out as they are."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from billing.store.agreements import (
    accounts_with_agreements,
    append_agreement,
    latest_agreement_version,
    read_agreements,
)
from billing.store.audit import AuditEntry, append_audit, read_audit
from billing.store.deliveries import (
    DeliverySums,
    Refusal,
    append_delivery,
    read_delivery,
    read_refusals,
    sum_deliveries,
)
from billing.store.epochs import current_epoch, epoch_sealed_at, seal
from billing.store.price_books import append_price_book, read_price_book, read_price_books
from billing.store.store import Store
from billing.store.waivers import append_waiver, read_waivers
from tests.billing.store.made_rows import agreement, book, delivery, waiver


def test_books_come_in_the_order_in_which_they_come_into_force(store: Store) -> None:
    late = book(number=1, effective_from=300)
    early = book(number=2, effective_from=100)
    tied = book(number=3, effective_from=100)
    other = book(series="gold", effective_from=50)
    with store.write() as connection:
        for one in (late, early, tied, other):
            append_price_book(connection, book=one)
        assert read_price_books(connection, series="list") == (early, tied, late)
        assert read_price_books(connection) == (other, early, tied, late)
        assert read_price_book(connection, series="list", number=2) == early
        assert read_price_book(connection, series="list", number=4) is None


def test_what_was_known_at_a_moment_is_what_was_published_by_then(store: Store) -> None:
    first, second = book(number=1, published_at=10), book(number=2, published_at=20)
    with store.write() as connection:
        append_price_book(connection, book=first)
        append_price_book(connection, book=second)
        assert read_price_books(connection, as_of=9) == ()
        assert read_price_books(connection, as_of=19) == (first,)
        assert read_price_books(connection, as_of=20) == (first, second)  # at it counts


def test_a_number_of_a_series_is_published_once(store: Store) -> None:
    with store.write() as connection:
        append_price_book(connection, book=book())
    with pytest.raises(IntegrityError, match=r"(?i)unique"), store.write() as connection:
        append_price_book(connection, book=book(effective_from=1))


def test_agreements_come_by_version_as_known_at_a_moment(store: Store) -> None:
    first = agreement(version=1, accepted_at=10)
    second = agreement(version=2, accepted_at=20)
    with store.write() as connection:
        assert latest_agreement_version(connection, account="acme") == 0
        append_agreement(connection, agreement=second)
        append_agreement(connection, agreement=first)
        append_agreement(connection, agreement=agreement(account="Acme"))
        assert read_agreements(connection, account="acme") == (first, second)
        assert read_agreements(connection, account="acme", as_of=19) == (first,)
        assert latest_agreement_version(connection, account="acme") == 2
        assert accounts_with_agreements(connection) == ("Acme", "acme")  # byte for byte


def test_the_epoch_starts_at_one_and_grows_by_one_with_each_seal(store: Store) -> None:
    with store.write() as connection:
        assert current_epoch(connection) == 1
        assert epoch_sealed_at(connection, epoch=1) is None
        assert seal(connection, sealed_at=10) == 1
        assert current_epoch(connection) == 2
        assert seal(connection, sealed_at=20) == 2
        assert [epoch_sealed_at(connection, epoch=n) for n in (1, 2, 3)] == [10, 20, None]


def test_a_delivery_is_recorded_once_with_its_refused_rows(store: Store) -> None:
    refusals = [
        Refusal(row=9, verdict="rejected", reason="is blank"),
        Refusal(row=3, verdict="conflict", reason="id e1 has another content"),
    ]
    with store.write() as connection:
        append_delivery(connection, delivery=delivery(name="f:0"), refusals=refusals)
        append_delivery(connection, delivery=delivery(name="f:1"), refusals=[])
        assert read_delivery(connection, delivery="f:0") == delivery(name="f:0")
        assert read_delivery(connection, delivery="f:2") is None
        assert read_refusals(connection, delivery="f:0") == (refusals[1], refusals[0])
        assert read_refusals(connection, delivery="f:1") == ()
        # Two deliveries of 4 = 1 + 1 + 1 + 1.
        assert sum_deliveries(connection) == DeliverySums(
            received=8, accepted=2, duplicate=2, conflict=2, rejected=2
        )
    with pytest.raises(IntegrityError, match=r"(?i)unique"), store.write() as connection:
        append_delivery(connection, delivery=delivery(name="f:0"), refusals=[])


def test_nothing_was_received_by_an_empty_store(store: Store) -> None:
    with store.read() as connection:
        assert sum_deliveries(connection) == DeliverySums(
            received=0, accepted=0, duplicate=0, conflict=0, rejected=0
        )


def test_a_waiver_is_given_once(store: Store) -> None:
    both = (waiver(unit="input_tokens"), waiver(unit="output_tokens"))
    with store.write() as connection:
        for one in reversed(both):
            append_waiver(connection, waiver=one)
        assert read_waivers(connection, account="acme") == both
        assert read_waivers(connection, account="globex") == ()
    with pytest.raises(IntegrityError, match=r"(?i)unique"), store.write() as connection:
        append_waiver(connection, waiver=both[0])


def test_the_audit_is_read_in_order_page_by_page(store: Store) -> None:
    with store.write() as connection:
        for subject in ("a", "b", "c"):
            append_audit(
                connection,
                command="close",
                subject=subject,
                by="dana",
                detail={"z": 1, "a": ["é"]},
                recorded_at=7,
            )
        page = read_audit(connection, limit=2)
        assert [entry.subject for entry in page] == ["a", "b"]
        rest = read_audit(connection, limit=2, after_seq=page[-1].seq)
    assert rest == (
        AuditEntry(
            seq=3,
            command="close",
            subject="c",
            by="dana",
            detail='{"a":["é"],"z":1}',
            recorded_at=7,
        ),
    )


def test_a_float_is_no_detail_of_the_audit(store: Store) -> None:
    with pytest.raises(TypeError, match=r"0\.5"), store.write() as connection:
        append_audit(
            connection, command="close", subject="a", by="d", detail={"share": 0.5}, recorded_at=7
        )
