"""Closing a month from a store: what is invoiced, corrected, blocked, waived, and left alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from billing.operations.close import close
from billing.operations.epoch import seal_epoch
from billing.operations.grid import show_grid
from billing.operations.verify import verify
from billing.operations.waive import waive
from billing.store.audit import read_audit
from billing.store.ledger import read_balances
from billing.store.points import hooked
from billing.store.store import Store, open_store
from pricing_rules.document import DocumentError
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    PLAIN,
    START_AT,
    accept,
    closed,
    deliver,
    deliver_ladder,
    deliver_late,
    invoices,
    publish,
    row_counts,
)
from tests.journeys.made_files import Json, book, card, event, rate_of

M = 1_000_000
DAY = 86_400 * M


def _plain(store: Store, folder: Path, *accounts: str) -> None:
    """Plain prices, and an agreement of each account."""
    publish(store, PLAIN)
    for account in accounts:
        accept(store, folder, account=account)


def _states(store: Store, month: str = "2026-10", *, now_at: int = IN_NOVEMBER_AT) -> list[str]:
    return [f"{one.account} {one.state}" for one in closed(store, month, now_at=now_at).periods]


def test_a_month_is_invoiced_along_the_ladder(store: Store, tmp_path: Path) -> None:
    # 8M at 2 = 16.00; then 2M at 1.80 = 3.60 up to the bound of 10M, and 3M at .90 = 2.70.
    deliver_ladder(store, tmp_path)
    (one,) = closed(store).periods
    assert (one.state, one.number, one.total_minor) == ("invoiced", "INV-2026-000001", 2230)
    (invoice,) = invoices(store)
    assert [str(line.amount_exact) for line in invoice.lines] == ["223/10"]
    assert invoice.issued_at == IN_NOVEMBER_AT


def test_late_usage_is_a_correction_on_the_next_invoice(store: Store, tmp_path: Path) -> None:
    # 10M at 2 + 1M at 1 = 21.00, then 5M at .90 = 4.50: 25.50. 22.30 was invoiced, 3.20 is due;
    # November's own 1M at 1.80 is 1.80.
    deliver_ladder(store, tmp_path)
    closed(store)
    own = event(4, {"input_tokens": M}, time="2026-11-03T00:00:00Z")
    deliver_late(store, tmp_path, own)
    (one,) = closed(store, "2026-11", now_at=IN_DECEMBER_AT).periods
    assert (one.total_minor, one.corrections) == (500, 1)
    first, second = invoices(store)
    (correction,) = second.corrections
    assert (correction.corrects, correction.amount_minor) == (first.number, 320)
    assert (correction.quantity, str(correction.amount_exact)) == (3 * M, "16/5")
    assert [(c.start_at, c.through_epoch) for c in second.covers or ()] == [
        (second.period.start_at, 2),
        (first.period.start_at, 2),
    ]
    assert verify(store).verified.damage == ()


def test_closing_a_month_again_bills_what_came_late(store: Store, tmp_path: Path) -> None:
    deliver_ladder(store, tmp_path)
    closed(store)
    deliver_late(store, tmp_path)
    (one,) = closed(store, now_at=IN_NOVEMBER_AT + 2 * DAY).periods
    assert (one.state, one.number, one.total_minor) == ("invoiced", "INV-2026-000002", 320)
    _, second = invoices(store)
    assert [line.kind for line in second.lines] == ["correction"]
    # What November would correct is corrected: it has nothing of its own.
    assert _states(store, "2026-11", now_at=IN_DECEMBER_AT) == ["a nothing due"]
    assert verify(store).holds


def test_closing_twice_has_one_effect(store: Store, tmp_path: Path) -> None:
    deliver_ladder(store, tmp_path)
    closed(store)
    before = row_counts(store)
    again = closed(store, now_at=IN_NOVEMBER_AT + DAY)
    assert [one.state for one in again.periods] == ["invoiced before"]
    assert row_counts(store) == before


def test_two_closes_at_once_have_one_effect(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    accounts = [f"a{i}" for i in range(6)]
    _plain(store, tmp_path, *accounts)
    units = {"input_tokens": M}
    deliver(store, tmp_path, [event(i, units, account=a) for i, a in enumerate(accounts)])

    def run(_: int) -> list[str]:
        with open_store(store_place) as own:
            return _states(own)

    with ThreadPoolExecutor(max_workers=3) as pool:
        ran = list(pool.map(run, range(3)))
    assert sorted(one for states in ran for one in states) == sorted(
        [f"{a} invoiced" for a in accounts] + [f"{a} invoiced before" for a in accounts] * 2
    )
    # Whose turn it was is a matter of chance, that there is no gap is not.
    assert [one.number for one in invoices(store)] == [f"INV-2026-{i:06d}" for i in range(1, 7)]
    assert verify(store).holds


def test_a_dry_run_shows_the_invoice_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    deliver_ladder(store, tmp_path)
    before = row_counts(store)
    shown = closed(store, dry_run=True)
    assert [(one.state, one.total_minor) for one in shown.periods] == [("would invoice", 2230)]
    assert row_counts(store) == before
    (one,) = closed(store).periods
    assert one.total_minor == 2230


def test_an_account_without_usage_gets_no_invoice(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a", "b")
    deliver(store, tmp_path, [event(1, {"input_tokens": M}, account="b")])
    assert _states(store) == ["a nothing due", "b invoiced"]


def test_a_failed_request_is_covered_and_never_billed(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a")
    deliver(store, tmp_path, [event(1, {"input_tokens": M}, outcome="failed")])
    assert _states(store) == ["a nothing due"]
    report = verify(store)
    (states,) = (one for one in report.verified.equations if one.name == "states")
    assert dict(states.right)["not billable"] == 1
    assert report.holds


def test_unpriced_usage_blocks_its_account_alone_until_it_is_waived(
    store: Store, tmp_path: Path
) -> None:
    _plain(store, tmp_path, "a", "b")
    events = [
        event(1, {"input_tokens": M, "web_searches": 2}),
        event(2, {"input_tokens": M}, account="b"),
    ]
    deliver(store, tmp_path, events)
    report = closed(store)
    assert [one.state for one in report.periods] == ["blocked", "invoiced"]
    (blocked,) = report.blocked
    assert blocked.blocked_by == (
        "2 web_searches of m in standard are unpriced: book 1 has no rate for web_searches under "
        "these conditions; publish a price or waive them",
    )
    first = _waive(store)
    assert [new for _, new in first] == [True]
    assert [new for _, new in _waive(store, reason="again")] == [False]
    assert _states(store) == ["a invoiced", "b invoiced before"]
    report_now = verify(store)
    (states,) = (one for one in report_now.verified.equations if one.name == "states")
    # The event of a has a part that was waived, so that is its state.
    assert dict(states.right) | {"billed": 1, "waived": 1} == dict(states.right)
    assert report_now.holds


def _waive(store: Store, *, reason: str = "a trial") -> list[tuple[object, bool]]:
    found = waive(
        store,
        account="a",
        month="2026-10",
        model="m",
        service_tier="standard",
        unit="web_searches",
        reason=reason,
        by="dana",
        now_at=IN_NOVEMBER_AT,
    )
    return [(waiver, new) for waiver, new in found]


def test_a_published_price_unblocks_an_account(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a")
    deliver(store, tmp_path, [event(1, {"web_searches": 1000})])
    assert _states(store) == ["a blocked"]
    priced = book(
        card(rate_of("web_searches", "10", per=1000)),
        number=2,
        supersedes={"number": 1, "reason": "searches had no rate"},
    )
    publish(store, priced, published_at=IN_NOVEMBER_AT + DAY)
    (one,) = closed(store, now_at=IN_NOVEMBER_AT + 2 * DAY).periods
    assert (one.state, one.total_minor) == ("invoiced", 1000)


@pytest.mark.parametrize(
    "now, state",
    [(-1, "not over"), (0, "invoiced"), (1, "invoiced")],
    ids=["a microsecond before its end", "at its end", "after it"],
)
def test_a_period_is_closed_when_it_is_over(
    store: Store, tmp_path: Path, now: int, state: str
) -> None:
    _plain(store, tmp_path, "a")
    end_at = IN_NOVEMBER_AT - DAY
    deliver(store, tmp_path, [event(1, {"input_tokens": M})], now_at=end_at - DAY)
    assert _states(store, now_at=end_at + now) == [f"a {state}"]


def test_the_first_period_starts_with_the_agreement(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path, fields={"effective_from": "2026-10-10T00:00:00Z"})
    deliver(
        store,
        tmp_path,
        [
            event(1, {"input_tokens": 5 * M}, time="2026-10-09T23:59:59.999999Z"),
            event(2, {"input_tokens": M}, time="2026-10-10T00:00:00Z"),
        ],
    )
    report = closed(store)
    # Only the million from the 10th on is billed: 2.00.
    assert [(one.state, one.total_minor) for one in report.periods] == [("invoiced", 200)]
    assert report.open_usage == ("a: has usage from before its agreement",)


def test_usage_of_a_month_that_was_never_closed_is_named(store: Store, tmp_path: Path) -> None:
    publish(store, {**PLAIN, "effective_from": "2026-09-01T00:00:00Z"})
    accept(store, tmp_path)
    september = event(1, {"input_tokens": M}, time="2026-09-05T00:00:00Z")
    deliver(store, tmp_path, [september, event(2, {"input_tokens": M})])
    report = closed(store)
    assert report.open_usage == (
        "a: usage of its period from 2026-09-01T00:00:00Z has no invoice; close that month",
    )
    assert _states(store, "2026-09") == ["a invoiced"]
    assert closed(store).open_usage == ()


def test_usage_of_an_account_without_agreement_is_named(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a")
    deliver(store, tmp_path, [event(1, {"input_tokens": M}, account="stranger")])
    report = closed(store)
    assert report.open_usage == ("stranger: has usage and no agreement; accept one",)


def test_an_anchor_in_the_middle_of_the_month(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path, fields={"anchor_day": 15, "zone": "Europe/Berlin"})
    # The period from October on is 15 October to 15 November, midnights in Berlin.
    deliver(
        store,
        tmp_path,
        [
            event(1, {"input_tokens": M}, time="2026-10-14T21:59:59Z"),
            event(2, {"input_tokens": 2 * M}, time="2026-10-14T22:00:00Z"),
            event(3, {"input_tokens": 4 * M}, time="2026-11-14T22:59:59Z"),
            event(4, {"input_tokens": 8 * M}, time="2026-11-14T23:00:00Z"),
        ],
        now_at=IN_DECEMBER_AT,
    )
    (one,) = closed(store, now_at=IN_DECEMBER_AT).periods
    assert one.total_minor == 1200  # (2M + 4M) at 2


def test_totals_that_a_new_cut_made_stale_are_rebuilt_first(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a")
    sizes = [event(1, {"input_tokens": M}), event(2, {"input_tokens": 2 * M})]
    deliver(store, tmp_path, sizes, now_at=IN_NOVEMBER_AT - DAY)
    over = rate_of("input_tokens", "3", when={"request_tokens_over": 1_500_000})
    split = book(
        card(rate_of("input_tokens", "1"), over),
        number=2,
        supersedes={"number": 1, "reason": "large requests cost more"},
    )
    publish(store, split, published_at=IN_NOVEMBER_AT - DAY // 2)
    before = row_counts(store)
    shown = closed(store, dry_run=True)
    # 1M at 1 + 2M at 3: a dry run sums the events, and leaves the totals as they are.
    assert (shown.rebuilt, shown.periods[0].total_minor) == (1, 700)
    assert (row_counts(store), show_grid(store).stale) == (before, ("a",))
    report = closed(store)
    assert (report.rebuilt, report.periods[0].total_minor) == (1, 700)
    assert show_grid(store).stale == ()


def test_a_book_that_reaches_back_lowers_an_invoice_by_a_negative_one(
    store: Store, tmp_path: Path
) -> None:
    _plain(store, tmp_path, "a")
    deliver(store, tmp_path, [event(1, {"input_tokens": 3 * M})])
    closed(store)
    cheaper = book(
        card(rate_of("input_tokens", "1.5")),
        number=2,
        supersedes={"number": 1, "reason": "the rate was a typing error"},
    )
    publish(store, cheaper, published_at=IN_NOVEMBER_AT + DAY)
    (one,) = closed(store, now_at=IN_NOVEMBER_AT + 2 * DAY).periods
    # 3M at 1.50 = 4.50, and 6.00 was invoiced.
    assert (one.state, one.total_minor) == ("invoiced", -150)
    with store.read() as connection:
        found = {b.ledger_account: b.amount_minor for b in read_balances(connection)}
    assert found == {"receivable:a": 450, "revenue:usage": -450}
    assert _states(store, now_at=IN_NOVEMBER_AT + 3 * DAY) == ["a invoiced before"]
    assert verify(store).holds


def test_a_finalize_that_fails_leaves_no_gap(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a", "b")
    units = {"input_tokens": M}
    deliver(store, tmp_path, [event(i, units, account=a) for i, a in enumerate("ab")])

    def fail(name: str) -> None:
        if name == "invoice.lines_appended":
            raise KeyboardInterrupt

    with hooked(fail), pytest.raises(KeyboardInterrupt):
        closed(store)
    assert invoices(store) == ()
    closed(store)
    assert [one.number for one in invoices(store)] == ["INV-2026-000001", "INV-2026-000002"]


def test_a_close_says_who_did_it(store: Store, tmp_path: Path) -> None:
    _plain(store, tmp_path, "a")
    deliver(store, tmp_path, [event(1, {"input_tokens": M})])
    closed(store)
    with store.read() as connection:
        found = [(one.command, one.subject, one.by) for one in read_audit(connection, limit=10)]
    assert found == [
        ("price publish", "s/1", "dana"),
        ("agreement accept", "a", "dana"),
        ("ingest", "usage.jsonl", "gateway"),
        ("seal", "1", "dana"),
        ("close", "a", "dana"),
    ]


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"month": "2026-13"}, "2026-13"),
        ({"accounts": ("nobody",)}, "account nobody: has no agreement; check its name"),
        ({"series": " "}, "is not the name of a number series"),
        ({"series": "../INV"}, "is not the name of a number series"),
        ({"series": "A\nB"}, "is not the name of a number series"),
        ({"now_at": START_AT - 1}, "but usage was sealed at 2026-09-01T00:00:00Z; set the clock"),
    ],
)
def test_what_cannot_be_closed_is_refused(
    store: Store, tmp_path: Path, fields: Json, sentence: str
) -> None:
    _plain(store, tmp_path, "a")
    seal_epoch(store, by="dana", now_at=START_AT)
    plain = {"month": "2026-10", "by": "dana", "now_at": IN_NOVEMBER_AT}
    with pytest.raises(DocumentError, match=sentence):
        close(store, **{**plain, **fields})
