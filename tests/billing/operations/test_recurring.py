"""What recurs, from ingest to the invoice: windows of time, and allowances of days and months."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.operations.grid import rebuild, show_grid
from billing.operations.invoice import preview_invoice
from billing.operations.rating import rate_file
from billing.operations.stored_invoice import read_checked
from billing.operations.verify import verify
from billing.store.store import Store
from billing.store.usage_totals import read_all_totals
from billing.store.whole import read_all_invoices
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_period
from pricing_rules.prices.price_book import BooksInForce, load_price_book
from tests.billing.operations.made_recurring import free, night
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    START_AT,
    accept,
    agreement_text,
    closed,
    deliver,
    invoices,
    publish,
)
from tests.journeys.made_files import Json, book, card, event, rate_of, write_events, write_json

M = 1_000_000
DAY = 86_400 * M
RATES: list[Json] = [
    rate_of("input_tokens", "2"),
    rate_of("input_tokens", "1", when={"window": "night"}),
]
BY_NIGHT = book(card(*RATES), windows={"night": night()})


def million(number: int, time: str, **fields: Json) -> Json:
    """An event of a million input tokens."""
    return event(number, {"input_tokens": M}, time=time, **fields)


def test_usage_by_night_is_invoiced_at_the_rate_of_the_night(store: Store, tmp_path: Path) -> None:
    # Berlin's night of the 2nd is 20:00-04:00 UTC, that after the clock's change 21:00-05:00.
    publish(store, BY_NIGHT)
    accept(store, tmp_path)
    times = [
        "2026-10-02T19:59:59.999999Z",  # 2
        "2026-10-02T20:00:00Z",  # 1
        "2026-10-03T03:59:59.999999Z",  # 1
        "2026-10-03T04:00:00Z",  # 2
        "2026-10-26T20:30:00Z",  # 2
        "2026-10-26T21:00:00Z",  # 1
    ]
    deliver(store, tmp_path, [million(n, time) for n, time in enumerate(times)])
    (one,) = closed(store).periods
    assert one.total_minor == 900
    (invoice,) = invoices(store)
    (line,) = invoice.lines
    assert [(band.when, band.quantity) for band in getattr(line, "bands", ())] == [
        ("", 3 * M),
        ("window=night", 3 * M),
    ]
    assert verify(store).holds


def test_a_book_with_a_window_makes_totals_stale_and_a_rebuild_places_them(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(card(rate_of("input_tokens", "2"))))
    accept(store, tmp_path)
    deliver(
        store,
        tmp_path,
        [million(1, "2026-10-20T23:00:00Z"), million(2, "2026-10-20T12:00:00Z")],
    )
    later = book(
        card(*RATES),
        windows={"night": night()},
        number=2,
        effective_from="2026-10-15T00:00:00Z",
        supersedes={"number": 1, "reason": "nights are idle"},
    )
    publish(store, later, published_at=IN_NOVEMBER_AT)
    assert show_grid(store).stale == ("a",)
    rebuild(store, accounts=None, by="dana", now_at=IN_NOVEMBER_AT)
    with store.read() as connection:
        found = read_all_totals(connection, account="a")
    (key,) = [one.key for one in show_grid(store).newest.grid.windows]
    assert [(total.cell.windows, total.events) for total in found] == [((), 1), ((key,), 1)]
    (one,) = closed(store, now_at=IN_NOVEMBER_AT + DAY).periods
    assert one.total_minor == 300  # 2 by day and 1 by night
    assert verify(store).holds


def test_a_window_that_is_defined_anew_cuts_beside_the_old_one(
    store: Store, tmp_path: Path
) -> None:
    publish(store, BY_NIGHT)
    accept(store, tmp_path)
    longer = {**BY_NIGHT, "windows": {"night": night(end_hour=8)}, "number": 2}
    longer["effective_from"] = "2026-10-15T00:00:00Z"
    publish(store, longer, published_at=START_AT + 1)
    assert [one.name for one in show_grid(store).newest.grid.windows] == ["night", "night"]
    # 05:00 UTC is 07:00 in Berlin: day under the first book, night under the second.
    deliver(
        store,
        tmp_path,
        [million(1, "2026-10-14T05:00:00Z"), million(2, "2026-10-16T05:00:00Z")],
    )
    (one,) = closed(store).periods
    assert one.total_minor == 300
    assert verify(store).holds


SEARCH = card(rate_of("web_searches", "10", per=1))


def searches(number: int, count: int, day: str) -> Json:
    return event(number, {"web_searches": count}, time=f"{day}T12:00:00Z")


def monthly(store: Store, folder: Path) -> None:
    """100 searches are free in each calendar month; the account's periods start on the 15th."""
    publish(store, book(SEARCH, allowances=[free(100, reset="month", unit="web_searches")]))
    fields = {"anchor_day": 15, "effective_from": "2026-09-15T00:00:00Z"}
    accept(store, folder, fields=fields)


def test_a_month_that_two_periods_share_is_free_once(store: Store, tmp_path: Path) -> None:
    monthly(store, tmp_path)
    deliver(
        store,
        tmp_path,
        [
            searches(1, 70, "2026-10-10"),  # the period of September
            searches(2, 50, "2026-10-20"),  # that of October: 30 of October's 100 are left
            searches(3, 100, "2026-11-10"),  # and all of November's
        ],
        now_at=IN_DECEMBER_AT,
    )
    (september,) = closed(store, "2026-09", now_at=IN_DECEMBER_AT).periods
    (october,) = closed(store, "2026-10", now_at=IN_DECEMBER_AT + DAY).periods
    assert (september.total_minor, october.total_minor) == (0, 20_000)  # 20 x 10.00
    assert verify(store).holds


def test_late_usage_of_the_month_before_is_due_in_the_period_that_it_bears_on(
    store: Store, tmp_path: Path
) -> None:
    monthly(store, tmp_path)
    deliver(
        store,
        tmp_path,
        [searches(1, 70, "2026-10-10"), searches(2, 30, "2026-10-20")],
        now_at=IN_NOVEMBER_AT,
    )
    closed(store, "2026-09", now_at=IN_NOVEMBER_AT + 20 * DAY)
    (first,) = closed(store, "2026-10", now_at=IN_NOVEMBER_AT + 20 * DAY).periods
    assert first.total_minor == 0
    # 5 late searches of the 10th: they are free in September's period, and 5 of October's are not.
    deliver(store, tmp_path, [searches(3, 5, "2026-10-10")], now_at=IN_NOVEMBER_AT + 21 * DAY)
    (again,) = closed(store, "2026-10", now_at=IN_NOVEMBER_AT + 22 * DAY).periods
    assert (again.total_minor, again.corrections) == (5_000, 2)
    with store.read() as connection:
        last = read_checked(read_all_invoices(connection)[-1])
    assert [(line.kind, line.amount_minor) for line in last.lines][-1] == ("correction", 5_000)
    assert verify(store).holds


def test_a_daily_allowance_starts_anew_with_each_day_of_its_zone(
    store: Store, tmp_path: Path
) -> None:
    daily = [free(10, reset="day", unit="web_searches", zone="Asia/Kolkata")]
    publish(store, book(SEARCH, allowances=daily))
    accept(store, tmp_path)
    # A day of Kolkata starts at 18:30 UTC.
    times = {
        "2026-10-02T18:29:59.999999Z": 12,
        "2026-10-02T18:30:00Z": 12,
        "2026-10-03T12:00:00Z": 3,
    }
    events = [
        event(n, {"web_searches": count}, time=time)
        for n, (time, count) in enumerate(times.items())
    ]
    deliver(store, tmp_path, events)
    (one,) = closed(store).periods
    assert one.total_minor == 7_000  # 2 of the first day; 12 + 3 - 10 of the second
    (invoice,) = invoices(store)
    (line,) = invoice.lines
    assert [(b.when, b.quantity, b.rate) for b in getattr(line, "bands", ())] == [
        ("", 7, 10),
        ("allowance free", 20, 0),
    ]
    assert verify(store).holds


@pytest.mark.parametrize("reset, amount", [("month", 200), ("billing_period", 0)])
def test_a_file_is_rated_with_what_it_holds_of_the_month_before(
    tmp_path: Path, reset: str, amount: int
) -> None:
    value = book(SEARCH, allowances=[free(100, reset=reset, unit="web_searches")])
    path = write_json(tmp_path / "book.json", value)
    books = BooksInForce(books=(load_price_book(path.read_bytes(), name="book.json"),))
    usage = write_events(
        tmp_path,
        [
            searches(1, 70, "2026-10-10"),
            searches(2, 50, "2026-10-20"),
            searches(3, 1, "2026-12-01"),
        ],
        form="csv",
    )
    rated = rate_file(usage, books=books, period=parse_period("2026-10-15/2026-11-15", zone="UTC"))
    assert rated.rating.total_exact == amount
    assert (rated.totals.accepted, rated.totals.outside_period) == (3, 2)
    assert [total.events for total in rated.totals.totals] == [1]


def test_a_free_band_of_an_invoice_explains_itself(tmp_path: Path) -> None:
    value = book(
        SEARCH,
        card(*RATES, model="n"),
        windows={"night": night()},
        allowances=[free(100, reset="month", unit="web_searches")],
        multipliers=[{"id": "eu", "factor": "1.1", "when": {"region": "eu"}}],
    )
    agreed = tmp_path / "a.yaml"
    agreed.write_text(agreement_text(), encoding="utf-8")
    events = [
        searches(1, 120, "2026-10-10"),
        million(2, "2026-10-10T23:00:00Z", model="n", region="eu"),
    ]
    preview = preview_invoice(
        agreed,
        price_books=[write_json(tmp_path / "book.json", value)],
        usage=write_events(tmp_path, events, form="jsonl"),
        period="2026-10-01/2026-11-01",
    )
    assert [line.amount_minor for line in preview.invoice.lines] == [20_000, 110]
    charged, given = preview.explain(1).rests_on
    assert given.sentence == "100 x 0 / 1 = 0"
    assert [step.sentence for step in given.rests_on][1] == (
        "free: 100 web_searches together are free in each month of UTC"
    )
    assert charged.sentence == "20 x 10 / 1 = 200"
    (by_night,) = preview.explain(2).rests_on
    assert by_night.sentence == "1,000,000 x 1.1 / 1,000,000 = 1.1"
    assert ", window=night, x 1.1 region=eu, sha256:" in by_night.rests_on[0].sentence
    kinds = [step.kind for step in by_night.rests_on[1].rests_on]
    assert kinds == ["window", "multiplier", "cost"]


def test_the_same_book_again_changes_nothing_although_its_text_says_less(store: Store) -> None:
    value = book(card(*RATES), windows={"night": {"times": night()["times"], "zone": "UTC"}})
    assert publish(store, value).new is True
    value["windows"]["night"].pop("zone")  # UTC where nothing is said
    assert publish(store, value).new is False
    value["windows"]["night"]["zone"] = "Asia/Tokyo"
    with pytest.raises(DocumentError, match="is in the store with another content"):
        publish(store, value)
