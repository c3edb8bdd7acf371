"""How far a store has come: the last row of each kind, the same on both kinds of database."""

from __future__ import annotations

from dataclasses import replace

from billing.store.audit import append_audit
from billing.store.epochs import seal
from billing.store.invoices import append_invoice
from billing.store.marks import last_rows, read_row
from billing.store.store import Store
from pricing_rules.document import content_digest
from tests.billing.store.made_rows import damage, event, fill, ingest, invoice


def numbers(store: Store) -> dict[str, int]:
    """The last number of each kind, and of each series."""
    with store.read() as connection:
        found = last_rows(connection)
        # What is last is also found by its number.
        for one in found:
            again = read_row(
                connection, of=one.of, issuer=one.issuer, series=one.series, number=one.number
            )
            assert again == one
    return {f"{one.of} {one.series} {one.issuer}".strip(): one.number for one in found}


def test_a_store_without_rows_has_no_last_ones(store: Store) -> None:
    assert numbers(store) == {}


def test_the_last_row_of_each_kind_and_series_is_told(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
        for number, issuer, series in ((1, "them", "2026"), (1, "us", "2027"), (2, "us", "2026")):
            one = replace(
                invoice(number=number, period_start_at=100 * len(issuer + series) + number),
                issuer=issuer,
                series=series,
                account=f"{issuer} {series}",
            )
            append_invoice(connection, invoice=one, lines=[])
        seal(connection, sealed_at=3_000)
    ingest(store, rows=[event("e2"), event("e3")])
    assert numbers(store) == {
        "audit": 1,
        "epochs": 2,
        "events": 3,
        "numbers 2026 them": 1,
        "numbers 2026 us": 2,
        "numbers 2027 us": 1,
    }
    with store.read() as connection:
        digests = {(one.issuer, one.series): one.digest for one in last_rows(connection)}
    # Three invoices have the number 1; each series tells of its own.
    for issuer, series in (("them", "2026"), ("us", "2027"), ("us", "2026")):
        one = invoice(account=f"{issuer} {series}")
        expected = content_digest([one.account, one.digest, one.finalized_at])
        assert digests[issuer, series] == expected


def test_the_digest_of_a_row_is_one_for_ever_and_on_every_database(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
    with store.read() as connection:
        digests = {one.of: one.digest for one in last_rows(connection)}
    # Of these columns alone, so that a later version of the tables gives the same.
    assert digests == {
        "audit": content_digest(["close", "acme", "dana", "{}", 5_000]),
        "epochs": content_digest([2_000]),
        "events": content_digest(["provider", "gw", "e1", "acme", 100, 1_000]),
        "numbers": content_digest(["acme", invoice().digest, invoice().finalized_at]),
    }


def test_a_row_with_another_content_has_another_digest(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
        before = {one.of: one.digest for one in last_rows(connection)}
    damage(
        store,
        "UPDATE audit SET recorded_at = recorded_at + 1",
        "UPDATE epochs SET sealed_at = sealed_at + 1",
        "UPDATE events SET received_at = received_at + 1",
        "UPDATE invoices SET finalized_at = finalized_at + 1",
    )
    with store.read() as connection:
        after = {one.of: one.digest for one in last_rows(connection)}
    assert before.keys() == after.keys() == {"audit", "epochs", "events", "numbers"}
    assert all(before[of] != after[of] for of in before)


def test_a_number_that_no_row_has_has_no_row(store: Store) -> None:
    with store.write() as connection:
        append_audit(connection, command="c", subject="s", by="d", detail={}, recorded_at=1)
        assert read_row(connection, of="audit", issuer="", series="", number=2) is None
        assert read_row(connection, of="numbers", issuer="us", series="2026", number=1) is None
