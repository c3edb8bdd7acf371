"""Whole tables as ``verify`` reads them, and questions about many accounts at once."""

from __future__ import annotations

from dataclasses import replace

from billing.store.agreements import (
    append_agreement,
    latest_agreement_versions,
    read_newest_agreements,
)
from billing.store.epochs import has_new_facts, last_sealed_at, seal
from billing.store.grid import (
    AccountGrid,
    append_account_grids,
    read_account_grids,
    set_account_grid,
)
from billing.store.invoices import append_invoice, find_invoices
from billing.store.price_books import append_price_book
from billing.store.store import Store
from billing.store.whole import (
    EventIdentity,
    NumberSeries,
    accounts_with_events,
    count_identities,
    events_without_identity,
    identities_without_event,
    read_all_deliveries,
    read_all_entries,
    read_all_invoices,
    read_all_lines,
    read_all_number_series,
    read_all_transactions,
)
from tests.billing.store.made_rows import (
    agreement,
    book,
    damage,
    delivery,
    event,
    fill,
    ingest,
    invoice,
)


def test_whole_tables_are_read_as_they_stand(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
    with store.read() as connection:
        assert read_all_invoices(connection) == (invoice(),)
        assert [one.amount_exact for one in read_all_lines(connection)] == ["22.30"]
        assert read_all_number_series(connection) == (
            NumberSeries(issuer="us", series="2026", next_number=2),
        )
        assert [one.id for one in read_all_transactions(connection)] == ["t1"]
        assert [one.amount_minor for one in read_all_entries(connection)] == [2_230, -2_230]
        assert read_all_deliveries(connection) == (delivery(),)
        assert accounts_with_events(connection) == ("acme",)
        assert count_identities(connection) == 1


def test_an_event_and_its_identity_miss_one_another(store: Store) -> None:
    ingest(store, rows=[event("e1"), event("e2")])
    identity = EventIdentity(owner="provider", source="gw", id="e1")
    with store.write() as connection:
        assert list(identities_without_event(connection)) == []
        assert list(events_without_identity(connection)) == []
    damage(store, "DELETE FROM events WHERE id = 'e1'", "DELETE FROM event_ids WHERE id = 'e2'")
    with store.read() as connection:
        assert list(identities_without_event(connection)) == [identity]
        assert list(events_without_identity(connection)) == [replace(identity, id="e2")]


def test_the_newest_agreement_of_every_account_is_read_at_once(store: Store) -> None:
    newest = agreement(version=10, account="acme")
    with store.write() as connection:
        for one in (newest, agreement(version=9), agreement(account="globex")):
            append_agreement(connection, agreement=one)
        assert read_newest_agreements(connection) == (newest, agreement(account="globex"))
        assert latest_agreement_versions(connection) == {"acme": 10, "globex": 1}


def test_the_grids_of_many_accounts_are_noted_and_read_at_once(store: Store) -> None:
    grids = [
        AccountGrid(account=f"a{n:05d}", grid_version=n % 3, agreement_version=1)
        for n in range(10_001)
    ]
    with store.write() as connection:
        append_account_grids(connection, grids=grids[::-1])
        set_account_grid(connection, account="other", grid_version=1, agreement_version=1)
        names = [one.account for one in grids]
        assert read_account_grids(connection, accounts=[*names, "none"]) == {
            one.account: one for one in grids
        }
        assert read_account_grids(connection, accounts=[]) == {}


def test_a_number_is_found_at_each_issuer_that_has_it(store: Store) -> None:
    ours, theirs = invoice(), replace(invoice(account="globex"), issuer="them")
    with store.write() as connection:
        for one in (theirs, ours, invoice(number=2, period_start_at=1_000)):
            append_invoice(connection, invoice=one, lines=[])
        found = find_invoices(connection, series="2026", number=1)
    assert found == (theirs, ours)  # "them" comes before "us"


def test_a_seal_has_something_to_add_after_an_event_a_book_or_an_agreement(store: Store) -> None:
    with store.write() as connection:
        assert last_sealed_at(connection) is None
        assert has_new_facts(connection)  # nothing was ever sealed
        seal(connection, sealed_at=10)
        assert last_sealed_at(connection) == 10
        assert not has_new_facts(connection)
        append_price_book(connection, book=book(number=1, published_at=10))  # at it: not after
        append_agreement(connection, agreement=agreement(version=1, accepted_at=10))
        assert not has_new_facts(connection)
        append_price_book(connection, book=book(number=2, published_at=11))
        assert has_new_facts(connection)
        seal(connection, sealed_at=11)
        append_agreement(connection, agreement=agreement(version=2, accepted_at=12))
        assert has_new_facts(connection)
        seal(connection, sealed_at=12)
        assert not has_new_facts(connection)
    ingest(store, rows=[event()])
    with store.read() as connection:
        assert has_new_facts(connection)
