"""A backtest as one page of HTML that needs nothing else: no script, no font, no other file.

Invariant: the page shows figures of the report; an amount that is shortened for reading carries its
exact text, and a table that is cut says how many rows it lacks. The same report gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from billing.documents.backtest_charts import accounts_chart, distribution_chart, revenue_chart
from billing.documents.page import render_page
from billing.domain.charging.backtest_report import (
    AccountRecord,
    BacktestReport,
    ComparisonRecord,
    SideRecord,
)
from pricing_rules.money import Currency, amount_text, currency, exact_text
from pricing_rules.planning.gates import percent_text

_ACCOUNTS = 15
_ROWS = 30

View = dict[str, Any]


def render_backtest(report: BacktestReport) -> bytes:
    """The page of a backtest, UTF-8."""
    return render_page("backtest.html", view=_view(report))


def _view(report: BacktestReport) -> View:
    unit = currency(report.currency)
    cards = sorted(report.rate_cards, key=lambda card: -abs(card.change))
    shown = _largest_changes(report.accounts)
    return {
        "title": f"Backtest of {_books(report.after)} against {_books(report.before)}",
        "period": report.period.replace("/", " to "),
        "currency": report.currency,
        "gates": report.gates,
        "tiles": _tiles(report, unit=unit),
        "charts": _charts(report),
        "cards": {
            "rows": [
                _compared([one.model, one.service_tier], one=one, unit=unit)
                for one in cards[:_ROWS]
            ],
            "caption": _cut(len(cards), shown=_ROWS, what="rate cards"),
        },
        "accounts": {
            "count": f"{len(report.accounts):,}",
            "rows": [_compared([one.account], one=one, unit=unit) for one in shown],
            "caption": _cut(len(report.accounts), shown=len(shown), what="accounts"),
        },
        "sections": _sections(report, unit=unit),
        "inputs": _inputs(report),
        "events": {
            "counted": f"{report.total.events:,}",
            "sentence": _events(report),
        },
        "cost_basis": report.cost_basis,
    }


def _books(side: SideRecord) -> str:
    numbers = ", ".join(str(book.number) for book in side.price_books)
    return f"{side.price_books[0].series} {numbers}"


def _largest_changes(accounts: Sequence[AccountRecord]) -> list[AccountRecord]:
    """The accounts whose change is largest, rises before falls."""
    changed = sorted(accounts, key=lambda one: -one.change)
    if len(changed) <= 2 * _ACCOUNTS:
        return changed
    rises = [one for one in changed if one.change > 0]
    falls = [one for one in changed if one.change < 0]
    return rises[:_ACCOUNTS] + falls[-_ACCOUNTS:]


def _tiles(report: BacktestReport, *, unit: Currency) -> list[View]:
    total, changes = report.total, report.distribution
    before, after = total.before, total.after
    return [
        {
            "name": "Revenue",
            "figure": _amount(after.revenue, unit=unit)["shown"],
            "beside": f"{_signed(total.change_share)} from "
            f"{_amount(before.revenue, unit=unit)['shown']}",
        },
        {
            "name": "Margin",
            "figure": percent_text(after.margin_share),
            "beside": f"before {percent_text(before.margin_share)}",
        },
        {
            "name": "Paying more",
            "figure": f"{changes.paying_more:,}",
            "beside": f"{changes.paying_less:,} pay less, {changes.unchanged:,} the same",
        },
        {
            "name": "Median account",
            "figure": _signed(changes.p50),
            "beside": f"p5 {_signed(changes.p5)}, p95 {_signed(changes.p95)}",
        },
        {
            "name": "Floor breaches",
            "figure": f"{len(report.after.floor_breaches):,}",
            "beside": f"before {len(report.before.floor_breaches):,}",
        },
        {
            "name": "Unpriced counts",
            "figure": f"{len(report.after.unpriced):,}",
            "beside": f"before {len(report.before.unpriced):,}",
        },
    ]


def _charts(report: BacktestReport) -> list[View]:
    drawn = [
        ("Revenue by rate card", revenue_chart(report)),
        ("Accounts by the change of what they pay", distribution_chart(report)),
    ]
    if report.distribution.paying_more or report.distribution.paying_less:
        drawn.append(("The largest rises and falls", accounts_chart(report)))
    return [{"title": title, "svg": svg} for title, svg in drawn]


def _compared(names: Sequence[str], *, one: ComparisonRecord, unit: Currency) -> View:
    return {
        "names": names,
        "events": f"{one.events:,}",
        "before": _amount(one.before.revenue, unit=unit),
        "after": _amount(one.after.revenue, unit=unit),
        "change": _amount(one.change, unit=unit),
        "percent": _signed(one.change_share),
        "margin_before": percent_text(one.before.margin_share),
        "margin_after": percent_text(one.after.margin_share),
    }


def _sections(report: BacktestReport, *, unit: Currency) -> list[View]:
    after, before = report.after, report.before
    return [
        {
            "title": "Floor breaches",
            "about": "Accounts whose revenue from a rate card, under the new books, is less than "
            "the floors of that card for what they used.",
            "heads": ["Account", "Model", "Service tier", "Revenue", "Floor", "Shortfall"],
            "numeric": [3, 4, 5],
            "rows": [
                [
                    one.account,
                    one.model,
                    one.service_tier,
                    *(
                        _amount(figure, unit=unit)["shown"]
                        for figure in (one.revenue, one.floor, one.shortfall)
                    ),
                ]
                for one in after.floor_breaches[:_ROWS]
            ],
            "caption": _none(after.floor_breaches)
            or _cut(len(after.floor_breaches), shown=_ROWS, what="breaches"),
        },
        {
            "title": "Unpriced usage",
            "about": "What no rate of the new books covers. It is in no amount above.",
            "heads": ["Account", "Model", "Service tier", "Unit", "Quantity", "Why"],
            "numeric": [4],
            "rows": [
                [
                    one.account,
                    one.model,
                    one.service_tier,
                    one.unit,
                    _quantity(one.quantity, scale=one.scale),
                    one.reason,
                ]
                for one in after.unpriced[:_ROWS]
            ],
            "caption": _none(after.unpriced)
            or _cut(len(after.unpriced), shown=_ROWS, what="counts"),
        },
        {
            "title": "Unused rates",
            "about": "Rates that this usage never meets: their change is not tested here.",
            "heads": ["Side", "Book", "Model", "Service tier", "Unit", "Condition"],
            "numeric": [1],
            "rows": [
                [side, one.book_number, one.model, one.service_tier, one.unit, one.when]
                for side, one in [
                    *(("after", one) for one in after.unused_rates),
                    *(("before", one) for one in before.unused_rates),
                ][:_ROWS]
            ],
            "caption": _none((*after.unused_rates, *before.unused_rates))
            or _cut(len(after.unused_rates) + len(before.unused_rates), shown=_ROWS, what="rates"),
        },
    ]


def _inputs(report: BacktestReport) -> list[View]:
    books = [
        {"what": what, "name": f"{book.series} number {book.number}", "digest": book.digest}
        for what, side in (("price book, after", report.after), ("before", report.before))
        for book in side.price_books
    ]
    usage = [
        {"what": "usage", "name": one.name, "digest": f"sha256:{one.sha256}"}
        for one in report.usage
    ]
    return [*books, *usage]


def _events(report: BacktestReport) -> str:
    events = report.events
    return (
        f"{events.received:,} rows: {events.accepted:,} accepted, {events.duplicate:,} duplicate, "
        f"{events.conflict:,} conflict, {events.rejected:,} rejected; of the accepted "
        f"{events.outside_period:,} outside the period, {events.not_billable:,} not billable."
    )


def _amount(amount: Fraction, *, unit: Currency) -> View:
    sense = "more" if amount > 0 else "less" if amount < 0 else ""
    return {"shown": amount_text(amount, unit=unit), "exact": exact_text(amount), "sense": sense}


def _quantity(quantity: int, *, scale: int) -> str:
    """A quantity in natural units."""
    return f"{quantity:,}" if scale == 1 else exact_text(Fraction(quantity, scale))


def _signed(share: Fraction | None) -> str:
    return f"+{percent_text(share)}" if share is not None and share > 0 else percent_text(share)


def _none(rows: Sequence[object]) -> str:
    return "" if rows else "None."


def _cut(count: int, *, shown: int, what: str) -> str:
    """What a table says that does not show all of its rows."""
    if count <= shown:
        return ""
    return f"{count - shown:,} more {what} are in the JSON of this backtest."
