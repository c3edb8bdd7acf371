"""A pricing review as one page of HTML that needs nothing else: no script, no font, no other file.

Invariant: the page shows figures of the report; an amount that is shortened for reading carries its
exact text, and a table that is cut says how many rows it lacks. The same report gives the same
bytes.
"""

from __future__ import annotations

from fractions import Fraction

from billing.documents.page import render_page
from billing.documents.review_charts import (
    SHOWN_RATES,
    accounts_chart,
    pools_chart,
    rooms_chart,
    variance_chart,
)
from billing.documents.review_tables import View, exact_or_none, review_tables, signed_text
from billing.domain.charging.pricing_review import PricingReviewReport
from pricing_rules.money import Currency, amount_text, currency
from pricing_rules.planning.gates import percent_text


def render_review(report: PricingReviewReport) -> bytes:
    """The page of a pricing review, UTF-8."""
    return render_page("review.html", view=_view(report))


def _view(report: PricingReviewReport) -> View:
    unit, events = currency(report.currency), report.events
    return {
        "title": f"Pricing review of {report.price_book.series} {report.price_book.number}",
        "period": report.period.replace("/", " to "),
        "before": report.period_before.replace("/", " to "),
        "at": report.reviewed_at,
        "currency": report.currency,
        "conclusions": report.conclusions,
        "tiles": _tiles(report, unit=unit),
        "charts": _charts(report),
        "tables": review_tables(report),
        "inputs": report.inputs,
        "basis": report.basis,
        "events": (
            f"{events.received:,} rows: {events.accepted:,} accepted, {events.duplicate:,} "
            f"duplicate, {events.conflict:,} conflict, {events.rejected:,} rejected; of the "
            f"accepted {events.outside_period:,} outside the period, {events.not_billable:,} not "
            "billable."
        ),
    }


def _tiles(report: PricingReviewReport, *, unit: Currency) -> list[View]:
    total, before, first = report.total, report.total_before, report.variance[0]
    under = sum(one.room is not None and one.room < 0 for one in report.rates)
    floored = sum(one.floor is not None for one in report.rates)
    used = sum((Fraction(one.used_hours) for one in report.pools), Fraction(0))
    hours = sum((Fraction(one.available_hours) for one in report.pools), Fraction(0))
    cost = first.after_per_mtok
    return [
        _tile("Rates under their floor", f"{under:,}", f"of {floored:,} with a floor"),
        _tile(
            "Margin at stated utilization",
            percent_text(exact_or_none(total.margin_share)),
            f"period before {percent_text(exact_or_none(before.margin_share))}",
        ),
        _tile(
            f"Revenue, {report.currency}",
            amount_text(total.revenue, unit=unit),
            f"period before {amount_text(before.revenue, unit=unit)}",
        ),
        _tile(
            "Accounts that lose money",
            f"{report.accounts_losing:,}",
            f"of {report.accounts_costed:,} with a measured cost",
        ),
        _tile(
            "Hours used",
            percent_text(used / hours if hours else None),
            f"of {float(hours):,.0f} accelerator-hours",
        ),
        _tile(
            f"Cost, {report.currency} per million tokens",
            "n/a" if cost is None else amount_text(cost, unit=unit),
            "not compared" if cost is None else f"change {signed_text(first.change, unit=unit)}",
        ),
    ]


def _tile(name: str, figure: str, beside: str) -> View:
    return {"name": name, "figure": figure, "beside": beside}


def _charts(report: PricingReviewReport) -> list[View]:
    cut = f", {SHOWN_RATES} of {len(report.rates):,}" if len(report.rates) > SHOWN_RATES else ""
    drawn = [
        (f"Rates with the least room{cut}", rooms_chart(report)),
        ("Pools: used, and needed to break even", pools_chart(report)),
        ("Why a million tokens cost more or less", variance_chart(report)),
        ("The worst accounts by margin", accounts_chart(report)),
    ]
    return [{"title": title, "svg": svg} for title, svg in drawn if svg is not None]
