"""The grid: totals are those of the events, whatever was published, accepted and rebuilt when."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.cuts import account_grid
from billing.operations.grid import (
    AccountCuts,
    RebuildReport,
    rebuild,
    rebuild_account,
    register_cuts,
    show_grid,
)
from billing.operations.ingest import ingest
from billing.operations.rating import rate_file
from billing.store.agreements import StoredAgreement, append_agreement, read_agreements
from billing.store.audit import read_audit
from billing.store.epochs import seal
from billing.store.events import read_events
from billing.store.grid import account_grid as stored_account_grid
from billing.store.grid import append_grid, current_grid, read_grid
from billing.store.points import hooked
from billing.store.store import Connection, Store
from billing.store.usage_totals import read_all_totals
from pricing_rules.document import DocumentError, content_digest, dump, load_json
from pricing_rules.period import Period, parse_moment, parse_period
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.prices.rating import rate_totals
from pricing_rules.usage.totals import Cell, Grid, UsageTotal
from pricing_rules.usage.totals import add_totals as summed
from tests.billing.domain.made_charges import agreement
from tests.billing.operations.made_ingest import NOW_AT, Json, facts, own_store, totals_in
from tests.billing.operations.made_recurring import recurring
from tests.journeys.made_files import book, card, event, rate_of, write_events

INPUT = {"input_tokens": 10}
ALL = Period(
    start_at=parse_moment("2026-01-01T00:00:00Z"), end_at=parse_moment("2028-01-01T00:00:00Z")
)
OCTOBER = parse_period("2026-10-01/2026-11-01", zone="UTC")


def made_book(
    number: int = 1, *, effective_from: str = "2026-10-01T00:00:00Z", over: int = 0
) -> PriceBook:
    rates = [rate_of("input_tokens", str(number)), rate_of("output_tokens", "1")]
    if over:
        rates.append(rate_of("input_tokens", "9", when={"request_tokens_over": over}))
    value = book(
        card(*rates), card(*rates, model="n"), number=number, effective_from=effective_from
    )
    return load_price_book(json.dumps(value).encode(), name="book.json")


def publish(store: Store, *books: PriceBook) -> int:
    """Register the cuts of books, and give the version of the grid."""
    with store.write() as connection:
        return register_cuts(connection, books=books, reason="a book", now_at=NOW_AT).version


def accept(store: Store, agreed: Agreement) -> None:
    document = dump(agreed)
    stored = StoredAgreement(
        account=agreed.account,
        version=agreed.version,
        effective_from=agreed.effective_from,
        accepted_at=NOW_AT,
        digest=content_digest(document),
        document=json.dumps(document),
    )
    with store.write() as connection:
        append_agreement(connection, agreement=stored)


def deliver(store: Store, folder: Path, events: Sequence[Json], *, batch_rows: int = 100) -> Path:
    path = write_events(folder, events, form="jsonl")
    ingest(path, store=store, now_at=NOW_AT, by="gateway", batch_rows=batch_rows)
    return path


def rebuilt(store: Store, *accounts: str) -> RebuildReport:
    return rebuild(store, accounts=accounts or None, by="dana", now_at=NOW_AT)


def recomputed(connection: Connection, *, account: str) -> tuple[UsageTotal, ...]:
    """The totals of an account from its events, one after another, under the versions that stand
    beside its totals."""
    built = stored_account_grid(connection, account=account)
    if built is None:
        return ()
    versions = [
        load_json(Agreement, one.document.encode(), name="agreement")
        for one in read_agreements(connection, account=account)
        if one.version <= built.agreement_version
    ]
    of_all = read_grid(connection, version=built.grid_version).grid
    grid = account_grid(of_all, versions=versions, start_at=ALL.start_at, end_at=ALL.end_at)
    return summed(
        UsageTotal(
            cell=Cell(
                account=account,
                epoch=one.epoch,
                segment_start_at=grid.segment_start_at(one.occurred_at),
                model=one.model,
                service_tier=one.service_tier,
                region=one.region,
                size_class_tokens=grid.size_class_tokens(one.request_tokens),
                outcome=one.outcome,
                dimensions=grid.kept(one.dimensions),
                windows=grid.windows_at(one.occurred_at),
            ),
            events=1,
            leaves=one.units,
        )
        for one in read_events(connection, account=account)
    )


def test_a_book_adds_its_cuts_and_nothing_new_adds_no_version() -> None:
    with own_store() as (_, store):
        first = made_book(over=1000)
        assert publish(store, first) == 1
        assert publish(store, first) == 1
        assert publish(store, made_book(2, effective_from="2026-10-15T00:00:00Z")) == 2
        newest = show_grid(store).newest
    assert newest.grid == Grid(
        instants_at=(first.effective_from, parse_moment("2026-10-15T00:00:00Z")),
        thresholds_tokens=(1001,),  # strictly over 1,000
    )
    assert (newest.reason, newest.registered_at) == ("a book", NOW_AT)


def test_a_price_change_makes_totals_stale_until_they_are_rebuilt() -> None:
    with own_store() as (folder, store):
        early, late = (event(n, INPUT, time=f"2026-10-{n:02}T00:00:00Z") for n in (14, 15))
        deliver(store, folder, [early, late])
        publish(store, made_book(), made_book(2, effective_from="2026-10-15T00:00:00Z"))
        assert show_grid(store).stale == ("a",)
        with store.read() as connection, pytest.raises(DocumentError, match="totals are stale"):
            totals_in(OCTOBER, connection=connection, account="a", through_epoch=1)
        report = rebuilt(store)
        assert [(one.account, one.events, one.cells) for one in report.rebuilt] == [("a", 2, 2)]
        assert (show_grid(store).stale, rebuilt(store).rebuilt) == ((), ())
        with store.read() as connection:
            found = totals_in(OCTOBER, connection=connection, account="a", through_epoch=1)
            (entry,) = [e for e in read_audit(connection, limit=9) if e.command == "grid rebuild"]
    assert [total.cell.segment_start_at for total in found.totals] == [
        parse_moment("2026-10-01T00:00:00Z"),
        parse_moment("2026-10-15T00:00:00Z"),
    ]
    assert (entry.subject, entry.by) == ("a", "dana")
    assert json.loads(entry.detail) == {"events": 2, "grid_version": 1, "agreement_version": 0}


def test_usage_of_a_stale_account_comes_in_under_its_old_version() -> None:
    with own_store() as (folder, store):
        deliver(store, folder, [event(1, INPUT)])
        publish(store, made_book(2, effective_from="2026-10-02T06:00:00Z"))
        deliver(store, folder, [event(2, INPUT), event(3, INPUT, account="b")])
        with store.read() as connection:
            (total,) = read_all_totals(connection, account="a")
            (other,) = read_all_totals(connection, account="b")
            built = [stored_account_grid(connection, account=name) for name in "ab"]
    assert (total.events, total.cell.segment_start_at) == (2, OCTOBER.start_at)
    # An account that is new has the newest version.
    assert other.cell.segment_start_at == parse_moment("2026-10-02T06:00:00Z")
    assert [one.grid_version for one in built if one] == [0, 1]


def test_an_agreement_makes_only_its_own_account_stale() -> None:
    with own_store() as (folder, store):
        deliver(store, folder, [event(1, INPUT), event(2, INPUT, account="b")])
        accept(store, agreement({"account": "a", "version": 1, "anchor_day": 2}))
        assert show_grid(store).stale == ("a",)
        rebuilt(store)
        with store.read() as connection:
            (total,) = read_all_totals(connection, account="a")
    assert total.cell.segment_start_at == parse_moment("2026-10-02T00:00:00Z")


def test_an_account_that_is_named_is_rebuilt_stale_or_not_and_the_same() -> None:
    with own_store() as (folder, store):
        deliver(store, folder, [event(n, INPUT) for n in range(3)])
        before = facts(folder / "store.db", tables=("usage_totals", "account_grids"))
        assert [one.events for one in rebuilt(store, "a", "a").rebuilt] == [3]
        assert facts(folder / "store.db", tables=("usage_totals", "account_grids")) == before
        with pytest.raises(DocumentError, match="account x: has no usage; check its name"):
            rebuilt(store, "a", "x")


def test_a_rebuild_that_is_stopped_keeps_what_is_done_and_goes_on() -> None:
    class Stopped(Exception):
        """Like a power cut."""

    def stop_at_the_second(name: str) -> None:
        reached.append(name)
        if reached.count("totals.removed") == 2:
            raise Stopped

    with own_store() as (folder, store):
        deliver(store, folder, [event(n, INPUT, account=name) for n, name in enumerate("abc")])
        publish(store, made_book())
        reached: list[str] = []
        with hooked(stop_at_the_second), pytest.raises(Stopped):
            rebuilt(store)
        assert show_grid(store).stale == ("b", "c")
        with store.read() as connection:
            assert read_all_totals(connection, account="b") == recomputed(connection, account="b")
        assert [one.account for one in rebuilt(store).rebuilt] == ["b", "c"]


def test_an_account_that_another_process_rebuilt_meanwhile_is_left_alone() -> None:
    def rebuild_the_second(done: int, of_all: int) -> None:
        if done == 0:
            with store.write() as connection:
                rebuild_account(connection, account="b", cuts=AccountCuts())

    with own_store() as (folder, store):
        deliver(store, folder, [event(n, INPUT, account=name) for n, name in enumerate("ab")])
        publish(store, made_book())
        report = rebuild(store, accounts=None, by="me", now_at=NOW_AT, progress=rebuild_the_second)
        assert [one.account for one in report.rebuilt] == ["a"]
        assert show_grid(store).stale == ()


def test_more_events_than_are_read_at_once_are_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.operations.grid._EVENTS_AT_ONCE", 3)
    # The cuts that served the first three reach into April, and the months of the others lie on.
    times = ["2026-01-30", "2026-01-31", "2026-03-01", "2026-09-30", "2026-10-02", "2026-10-31"]
    with own_store() as (folder, store):
        events = [event(n, INPUT, time=f"{day}T00:00:00Z") for n, day in enumerate(times)]
        deliver(store, folder, events)
        before = facts(folder / "store.db", tables=("usage_totals",))
        assert [one.cells for one in rebuilt(store, "a").rebuilt] == [4]
        assert facts(folder / "store.db", tables=("usage_totals",)) == before


TIMES = [
    "2026-09-30T23:59:59.999999Z",
    "2026-10-01T00:00:00Z",
    "2026-10-14T22:00:00Z",
    "2026-10-15T00:00:00Z",
    "2026-10-31T23:00:00Z",
    "2026-11-01T00:00:00Z",
]


@dataclass(slots=True)
class Life:
    """What happened to a store so far, and the next step."""

    store: Store
    folder: Path
    events: list[Json] = field(default_factory=list)
    books: int = 0
    versions: dict[str, int] = field(default_factory=dict)

    def ingest(self, data: st.DataObject) -> None:
        new = [
            event(
                len(self.events) + n,
                {"input_tokens": data.draw(st.sampled_from([1, 1000, 1001])), "output_tokens": 2},
                account=data.draw(st.sampled_from("ab")),
                model=data.draw(st.sampled_from("mn")),
                time=data.draw(st.sampled_from(TIMES)),
            )
            for n in range(data.draw(st.integers(1, 4)))
        ]
        self.events += new
        again = data.draw(st.lists(st.sampled_from(self.events), max_size=2))
        deliver(self.store, self.folder, [*new, *again], batch_rows=data.draw(st.integers(1, 4)))

    def publish(self, data: st.DataObject) -> None:
        self.books += 1
        starts = ["2026-10-01T00:00:00Z", "2026-10-15T00:00:00Z", "2026-10-14T22:00:00Z"]
        start = data.draw(st.sampled_from(starts))
        over = data.draw(st.sampled_from([0, 1000]))
        made = made_book(self.books, effective_from=start, over=over)
        publish(self.store, data.draw(st.sampled_from([made, recurring(made, shift=self.books)])))

    def accept(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from("ab"))
        version = self.versions.get(account, 0) + 1
        self.versions[account] = version
        fields = {
            "account": account,
            "version": version,
            "anchor_day": data.draw(st.sampled_from([1, 15, 31])),
            "zone": data.draw(st.sampled_from(["UTC", "Europe/Berlin"])),
            "effective_from": data.draw(st.sampled_from(TIMES)),
        }
        accept(self.store, agreement(fields))

    def rebuild(self, data: st.DataObject) -> None:
        rebuilt(self.store)

    def seal(self, data: st.DataObject) -> None:
        with self.store.write() as connection:
            seal(connection, sealed_at=NOW_AT)


STEPS: list[Callable[[Life, st.DataObject], None]] = [
    Life.ingest, Life.ingest, Life.publish, Life.accept, Life.rebuild, Life.seal,
]  # fmt: skip


@settings(max_examples=25)  # each one writes a store many times
@given(data=st.data())
def test_totals_are_those_of_the_events_after_any_life(data: st.DataObject) -> None:
    with own_store() as (folder, store):
        life = Life(store, folder)
        for step in data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8)):
            step(life, data)
        check(store)
        rebuilt(store)
        assert show_grid(store).stale == ()
        check(store)
        with store.read() as connection:
            counted = [sum(t.events for t in read_all_totals(connection, account=a)) for a in "ab"]
    assert sum(counted) == len(life.events)


def check(store: Store) -> None:
    """Each account's totals are those of its events, and none is empty where there are events."""
    with store.read() as connection:
        for account in "ab":
            totals = read_all_totals(connection, account=account)
            assert totals == recomputed(connection, account=account)


def test_rebuilt_totals_are_charged_as_the_file_is() -> None:
    books = BooksInForce(
        books=(
            made_book(over=1000),
            made_book(2, effective_from="2026-10-15T00:00:00Z", over=500),
        )
    )
    events = [
        event(n, {"input_tokens": tokens}, time=f"2026-10-{day:02}T00:00:00Z")
        for n, (tokens, day) in enumerate(
            [(500, 1), (501, 14), (1000, 14), (1001, 14), (500, 15), (501, 15), (1001, 31)]
        )
    ]
    with own_store() as (folder, store):
        path = deliver(store, folder, events)
        publish(store, *books.books)
        rebuilt(store)
        with store.read() as connection:
            found = totals_in(OCTOBER, connection=connection, account="a", through_epoch=1)
            assert current_grid(connection).version == 1
        stored = rate_totals(found.totals, books=books, grid=found.grid)
        offline = rate_file(path, books=books, period=OCTOBER).rating
    assert stored.charges == offline.charges
    # Per million: 500 + 501 + 1000 at 1, 1001 at 9; from the 15th 500 at 2, 501 + 1001 at 9.
    assert stored.total_exact * 10**6 == 2001 * 1 + 1001 * 9 + 500 * 2 + 1502 * 9


def test_totals_are_read_through_an_epoch() -> None:
    with own_store() as (folder, store):
        deliver(store, folder, [event(1, INPUT)])
        with store.write() as connection:
            seal(connection, sealed_at=NOW_AT)
        deliver(store, folder, [event(2, INPUT)])
        with store.read() as connection:
            found = [
                totals_in(OCTOBER, connection=connection, account="a", through_epoch=epoch).totals
                for epoch in (0, 1, 2)
            ]
            nobody = totals_in(OCTOBER, connection=connection, account="x", through_epoch=2)
    assert [[(t.cell.epoch, t.events) for t in totals] for totals in found] == [
        [],
        [(1, 1)],
        [(1, 1), (2, 1)],
    ]
    assert nobody.totals == ()


def test_a_new_version_that_changes_an_account_nowhere_still_waits_for_its_rebuild() -> None:
    with own_store() as (folder, store):
        deliver(store, folder, [event(1, INPUT)])
        with store.write() as connection:
            append_grid(connection, grid=Grid(dimensions=("team",)), reason="x", registered_at=1)
        assert show_grid(store).stale == ("a",)
        assert [replace(one, events=0) for one in rebuilt(store).rebuilt] == [
            replace(one, events=0) for one in rebuilt(store, "a").rebuilt
        ]
