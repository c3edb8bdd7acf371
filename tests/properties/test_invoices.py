"""Laws of invoices from events to the ledger, on whatever events and in whatever order they come.

Each example runs through the operations that the commands call, on a store of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.invoice.invoice import Invoice
from billing.domain.invoice.invoiced import usage_period
from billing.operations.verify import verify
from billing.store.ledger import read_balances
from billing.store.schema import upgrade
from billing.store.store import Store, open_store
from billing.store.whole import read_all_invoices
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    accept,
    closed,
    deliver,
    invoices,
    ladder_books,
    publish,
)
from tests.journeys.made_files import Json, event

DAY = 86_400 * 1_000_000
ACCOUNTS = ("a", "b")
TIMES = (
    "2026-10-01T00:00:00Z",
    "2026-10-14T23:59:59.999999Z",
    "2026-10-15T00:00:00Z",
    "2026-10-31T23:59:59.999999Z",
    "2026-11-01T00:00:00Z",
    "2026-11-20T00:00:00Z",
)
"""Both sides of the price change and of the end of the month."""

DISCOUNT = {"id": "seven", "description": "Seven and a half", "percent": "7.5"}
TAX = {"category": "S", "rate_percent": "19"}


@st.composite
def usage(draw: st.DrawFn) -> list[Json]:
    """Events of two accounts, each with an identity of its own."""
    kinds = st.tuples(
        st.sampled_from(ACCOUNTS),
        st.sampled_from(TIMES),
        st.integers(0, 12_000_001),
        st.sampled_from(["completed", "completed", "cancelled", "failed"]),
    )
    found = draw(st.lists(kinds, min_size=1, max_size=10))
    return [
        event(i, {"input_tokens": count}, account=account, time=time, outcome=outcome)
        for i, (account, time, count, outcome) in enumerate(found)
    ]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the ladder's two books and an agreement of each account, and no events."""
    folder = tmp_path_factory.mktemp("priced")
    file = folder / "priced.db"
    upgrade(file)
    with open_store(file) as store:
        for value in ladder_books():
            publish(store, value)
        accept(store, folder, account="a", fields={"discounts": [DISCOUNT], "tax": TAX})
        accept(store, folder, account="b", fields={"prices_include_tax": True, "tax": TAX})
    return file


@contextmanager
def _copy(priced: Path) -> Iterator[tuple[Store, Path]]:
    with TemporaryDirectory() as folder:
        file = Path(folder, "store.db")
        shutil.copyfile(priced, file)
        with open_store(file) as store:
            yield store, Path(folder)


def _digests(store: Store) -> list[tuple[int, str]]:
    with store.read() as connection:
        return [(one.number, one.digest) for one in read_all_invoices(connection)]


def _close_all(store: Store) -> list[tuple[int, str]]:
    for month in ("2026-10", "2026-11"):
        closed(store, month, now_at=IN_DECEMBER_AT)
    return _digests(store)


def _exact(found: Sequence[Invoice]) -> dict[tuple[str, int], tuple[Fraction, int]]:
    """What each period was charged over all invoices, exactly and in minor units."""
    sums: dict[tuple[str, int], tuple[Fraction, int]] = {}
    for invoice in found:
        for line in invoice.lines:
            key = (invoice.account, usage_period(line, invoice=invoice).start_at)
            exact, minor = sums.get(key, (Fraction(0), 0))
            sums[key] = (exact + line.amount_exact, minor + line.amount_minor)
    return {key: (exact, minor) for key, (exact, minor) in sums.items() if exact or minor}


@settings(max_examples=25)
@given(events=usage(), data=st.data())
def test_order_batches_and_duplicates_leave_the_same_invoices(
    priced: Path, events: list[Json], data: st.DataObject
) -> None:
    with _copy(priced) as (store, folder):
        deliver(store, folder, events, now_at=IN_DECEMBER_AT)
        expected = _close_all(store)
    again = data.draw(st.lists(st.sampled_from(events), max_size=4))
    deliveries = data.draw(st.permutations([*events, *again]))
    cut = data.draw(st.integers(0, len(deliveries)))
    with _copy(priced) as (store, folder):
        for part in (deliveries[:cut], deliveries[cut:]):
            if part:
                size = data.draw(st.integers(1, 5))
                deliver(store, folder, part, now_at=IN_DECEMBER_AT, batch_size=size)
        assert _close_all(store) == expected
        assert verify(store).holds


@settings(max_examples=25)
@given(events=usage(), data=st.data())
def test_late_usage_comes_to_the_same_amounts_in_the_end(
    priced: Path, events: list[Json], data: st.DataObject
) -> None:
    with _copy(priced) as (store, folder):
        deliver(store, folder, events, now_at=IN_DECEMBER_AT)
        _close_all(store)
        expected = _exact(invoices(store))
    early = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    parts = [
        [e for e, is_early in zip(events, early, strict=True) if is_early is on]
        for on in (True, False)
    ]
    with _copy(priced) as (store, folder):
        kept: list[tuple[int, str]] = []
        for i, part in enumerate(parts):
            at = IN_DECEMBER_AT + i * DAY
            if part:
                deliver(store, folder, part, now_at=at)
            for month in data.draw(st.permutations(["2026-10", "2026-11"])):
                closed(store, month, now_at=at)
            # What was finalized stays as it was.
            assert set(kept) <= set(_digests(store))
            kept = _digests(store)
        found = invoices(store)
        assert _exact(found) == expected
        _assert_adds_up(store, found)


def _assert_adds_up(store: Store, found: Sequence[Invoice]) -> None:
    """Numbers have no gap, the ledger owes what the invoices say, and everything else holds."""
    assert [one.number for one in found] == [f"INV-2026-{i:06d}" for i in range(1, len(found) + 1)]
    with store.read() as connection:
        owed = {
            one.ledger_account: one.amount_minor
            for one in read_balances(connection)
            if one.ledger_account.startswith("receivable:") and one.amount_minor
        }
    totals = {
        f"receivable:{account}": sum(one.total_minor for one in found if one.account == account)
        for account in ACCOUNTS
    }
    assert owed == {name: total for name, total in totals.items() if total}
    report = verify(store)
    assert report.holds, report.verified.damage


@settings(max_examples=15)
@given(events=usage())
def test_a_close_that_is_run_again_finds_nothing_due(priced: Path, events: list[Json]) -> None:
    with _copy(priced) as (store, folder):
        deliver(store, folder, events, now_at=IN_DECEMBER_AT)
        first = _close_all(store)
        assert _close_all(store) == first
        again = closed(store, now_at=IN_DECEMBER_AT + DAY)
        assert {one.state for one in again.periods} <= {"invoiced before", "nothing due"}
