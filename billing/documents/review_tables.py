"""The tables of a pricing review, as the page shows them: heads, cells, and what is left out.

Invariant: a figure that is shortened for reading carries its exact text, and a table that is cut
says how many rows it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.domain.charging.pricing_review import (
    AccountFigures,
    CardFigures,
    PoolFigures,
    PricingReviewReport,
    RateFigures,
    VarianceFigures,
)
from pricing_rules.money import Currency, amount_text, currency, exact_text, to_read
from pricing_rules.planning.gates import percent_text

_RATES = 15
_ROWS = 30
_DIGITS = 5
_POOL_HEADS = (
    "Pool|Accelerators|Available hours|Used|Breaks even at|Stated|Cost of hours|Revenue|"
    "Hours leave|Revenue per hour|Facility MWh|Revenue per MWh"
)
_RATE_HEADS = (
    "Rate|Rate, {} per million|Before|Floor|Room|Room, % of floor|Breaks even at|Stated|"
    "Lowest offer|Under it, %"
)
_ACCOUNT_HEADS = (
    "Account|Revenue|Discounts|Cost|Margin|Margin, %|Tokens: input / cached / output, %|Why"
)
_CARD_HEADS = (
    "Model|Service tier|Pool|Used hours|Revenue|Cost|Margin|Margin, %|Breaks even at|Stated"
)
_VARIANCE_HEADS = "Pool|Before|Spend|Utilization|Mix|Efficiency|Now|Change"
_UNITS = {"input_tokens": "input", "cache_read_tokens": "cached", "output_tokens": "output"}

View = dict[str, Any]


def review_tables(report: PricingReviewReport) -> list[View]:
    """The tables of a review, the most important first."""
    unit = currency(report.currency)
    return [
        _rates(report),
        _accounts(report, unit=unit),
        _pools(report, unit=unit),
        _variance(report, unit=unit),
        _cards(report, unit=unit),
        *_attention(report, unit=unit),
    ]


def _rates(report: PricingReviewReport) -> View:
    rows = [_rate(one) for one in report.rates[:_RATES]]
    return _table(
        "Rates: room over the floor, and under the market",
        about="Each rate at the lowest that usage may meet, the least room first. It breaks even "
        "at the utilization at which it is its floor without a margin.",
        heads=_RATE_HEADS.format(report.currency),
        rows=rows,
        caption=_cut(len(report.rates), shown=_RATES, what="rates"),
    )


def _rate(one: RateFigures) -> list[Any]:
    when = f" when {one.when}" if one.when else ""
    kind = "" if one.floor_kind in (None, "full") else f" ({one.floor_kind})"
    never = one.floor is not None and one.break_even_utilization is None
    return [
        f"{one.model} / {one.service_tier} / {one.unit}{when}",
        _per_million(one.rate),
        _per_million(one.before),
        {**_per_million(exact_or_none(one.floor)), "after": kind},
        {**_per_million(one.room), "sense": "bad" if one.room is not None and one.room < 0 else ""},
        _percent(one.room_share, judged=True),
        "never" if never else _percent(one.break_even_utilization),
        _percent(one.stated_utilization),
        {**_per_million(one.lowest_offer), "hint": one.lowest_offer_by},
        _percent(one.under_market_share, judged=True),
    ]


def _accounts(report: PricingReviewReport, *, unit: Currency) -> View:
    left_out = report.accounts_costed - len(report.accounts)
    return _table(
        f"The worst accounts by margin in {report.currency}, and why",
        about="Losses first, the largest before smaller ones; then what earns, the lowest margin "
        "first. Cost is at the stated utilization.",
        heads=_ACCOUNT_HEADS,
        rows=[_account(one, unit=unit) for one in report.accounts],
        caption=f"{left_out:,} more accounts have a better margin." if left_out else "",
        prose=(0, 7),
    )


def _account(one: AccountFigures, *, unit: Currency) -> list[Any]:
    total = sum(one.tokens.values())
    shares = " / ".join(
        f"{100 * one.tokens.get(name, 0) / total:.0f}" if total else "n/a" for name in _UNITS
    )
    return [
        one.account,
        _amount(one.costed_revenue, unit=unit),
        _amount(one.taken_off, unit=unit),
        _amount(one.cost, unit=unit),
        _amount(one.margin, unit=unit, judged=True),
        _percent(one.margin_share, judged=True),
        shares,
        f"{one.cause[:1].upper()}{one.cause[1:]}.",
    ]


def _pools(report: PricingReviewReport, *, unit: Currency) -> View:
    return _table(
        f"Pools, amounts in {report.currency}",
        about="Hours are accelerator-hours. What the hours leave: costed revenue less fees, "
        "variable cost and all hours, used or not.",
        heads=_POOL_HEADS,
        rows=[_pool(one, unit=unit) for one in report.pools],
        caption=_none(report.pools),
    )


def _pool(one: PoolFigures, *, unit: Currency) -> list[Any]:
    never = one.break_even_utilization is None
    return [
        one.pool,
        f"{one.accelerators:,}",
        f"{float(one.available_hours):,.0f}",
        _percent(one.utilization),
        "never" if never else _percent(one.break_even_utilization),
        _percent(one.stated_utilization),
        _amount(one.spend, unit=unit),
        _amount(one.costed_revenue, unit=unit),
        _amount(one.result, unit=unit, judged=True),
        _amount(exact_or_none(one.revenue_per_hour), unit=unit),
        "n/a" if one.facility_mwh is None else f"{float(one.facility_mwh):,.1f}",
        _amount(exact_or_none(one.revenue_per_mwh), unit=unit),
    ]


def _variance(report: PricingReviewReport, *, unit: Currency) -> View:
    return _table(
        f"Cost of a million tokens against the period before, {report.currency}",
        about="The four effects add up to the change. Spend: what an available hour costs; "
        "utilization: how much of the hours is used; mix: which tokens; efficiency: hours per "
        "token. In parentheses: on all tokens of the period.",
        heads=_VARIANCE_HEADS,
        rows=[_effects(one, unit=unit) for one in report.variance],
        caption="",
    )


def _effects(one: VarianceFigures, *, unit: Currency) -> list[Any]:
    pool = one.pool or "all pools"
    if one.reason is not None:
        return [pool, "n/a", *([""] * 5), {"shown": one.reason}]

    def effect(amount: Fraction) -> View:
        money = amount_text(amount * one.tokens / 10**6, unit=unit)
        shown = {"shown": signed_text(amount, unit=unit), "after": f" ({money})"}
        return {**_amount(-amount, unit=unit, judged=True), "exact": exact_text(amount), **shown}

    return [
        pool,
        _amount(one.before_per_mtok, unit=unit),
        *(effect(getattr(one, name)) for name in ("spend", "utilization", "mix", "efficiency")),
        _amount(one.after_per_mtok, unit=unit),
        effect(one.change),
    ]


def _cards(report: PricingReviewReport, *, unit: Currency) -> View:
    by_margin = sorted(report.rate_cards, key=lambda one: one.margin)
    return _table(
        f"Rate cards, amounts in {report.currency}",
        about="As served in the period, after discounts, the lowest margin first.",
        heads=_CARD_HEADS,
        rows=[_card(one, unit=unit) for one in by_margin[:_ROWS]],
        caption=_none(report.rate_cards) or _cut(len(report.rate_cards), what="rate cards"),
        prose=(0, 1, 2),
    )


def _card(one: CardFigures, *, unit: Currency) -> list[Any]:
    return [
        one.model,
        one.service_tier,
        one.pool,
        f"{float(one.used_hours):,.1f}",
        _amount(one.costed_revenue, unit=unit),
        _amount(one.cost, unit=unit),
        _amount(one.margin, unit=unit, judged=True),
        _percent(one.margin_share, judged=True),
        _percent(one.break_even_utilization),
        _percent(one.stated_utilization),
    ]


def _attention(report: PricingReviewReport, *, unit: Currency) -> list[View]:
    return [
        _table(
            "Open findings",
            about="What agreements and the price book say that nobody signed off, or no longer.",
            heads="Found in|Finding",
            rows=[[one.found_in, one.sentence] for one in report.findings[:_ROWS]],
            caption=_none(report.findings) or _cut(len(report.findings), what="findings"),
            prose=(0, 1),
        ),
        _table(
            "Unpriced usage",
            about="What no rate covers. It is in no amount above.",
            heads="Account|Model|Service tier|Unit|Quantity|Why",
            rows=[
                [
                    one.account,
                    one.model,
                    one.service_tier,
                    one.unit,
                    exact_text(Fraction(one.quantity, one.scale)),
                    one.reason,
                ]
                for one in report.unpriced[:_ROWS]
            ],
            caption=_none(report.unpriced) or _cut(len(report.unpriced), what="counts"),
            prose=(0, 1, 2, 3, 5),
        ),
        _table(
            "Overrides that have ended or end within 30 days",
            about="",
            heads="Finding|By|Reason|Ends at|",
            rows=[
                [one.finding, one.by, one.reason, one.ends_at, "ended" if one.has_ended else "ends"]
                for one in report.overrides
            ],
            caption=_none(report.overrides),
            prose=(0, 1, 2, 3, 4),
        ),
        _subsidies(report, unit=unit),
        _table(
            f"Measurements over {report.stale_days:,} days old",
            about="",
            heads="Model|Service tier|Oldest measurement|Age, days",
            rows=[
                [
                    one.model,
                    one.service_tier,
                    one.oldest_date or "without a date",
                    "n/a" if one.age_days is None else f"{one.age_days:,}",
                ]
                for one in report.stale
            ],
            caption=_none(report.stale),
            prose=(0, 1, 2),
        ),
    ]


def _subsidies(report: PricingReviewReport, *, unit: Currency) -> View:
    uncovered = report.subsidies_uncovered
    return _table(
        f"Subsidies, {report.currency}",
        about="What was charged under floors, beside the budget over as long a time.",
        heads="Subsidy|Owner|Reason|Until|Paid|Budget|Used",
        rows=[
            [
                one.id,
                one.owner,
                one.reason,
                f"{one.ends_at}{' (ended)' if one.has_ended else ''}",
                _amount(one.paid, unit=unit),
                _amount(one.budget, unit=unit),
                _percent(one.used_share),
            ]
            for one in report.subsidies
        ],
        caption=(
            "No policy was given, so no budget is known."
            if uncovered is None
            else _none(report.subsidies)
            + f" Charged under floors and covered by none: {amount_text(uncovered, unit=unit)}."
        ).strip(),
        prose=(0, 1, 2, 3),
    )


def _table(
    title: str,
    *,
    about: str,
    heads: str,
    rows: Sequence[Sequence[Any]],
    caption: str,
    prose: Sequence[int] = (0,),
) -> View:
    """A table; ``heads`` are split at "|", and ``prose`` are the columns that are no figures.

    A column without anything in it is left out: no snapshot, no column of the market.
    """
    named = heads.split("|")
    cells = [[_cell(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(named)) if any(row[i]["shown"] for row in cells) or not cells]
    return {
        "title": title,
        "about": about,
        "heads": [named[i] for i in kept],
        "numeric": [at for at, i in enumerate(kept) if i not in prose],
        "rows": [[row[i] for i in kept] for row in cells],
        "caption": caption,
    }


def _cell(cell: Any) -> View:
    shown = {"shown": cell} if isinstance(cell, str) else cell
    return {"exact": "", "sense": "", "after": "", "hint": None, **shown}


def _amount(amount: Fraction | None, *, unit: Currency, judged: bool = False) -> View:
    if amount is None:
        return {"shown": ""}
    return {
        "shown": amount_text(amount, unit=unit),
        "exact": exact_text(amount),
        "sense": "bad" if judged and amount < 0 else "",
    }


def _per_million(amount: Fraction | None) -> View:
    """A rate: as it is where that is short, else to five significant digits."""
    if amount is None:
        return {"shown": ""}
    exact = exact_text(amount)
    shown = exact if len(exact) <= _DIGITS + 2 else f"{to_read(amount):,.{_DIGITS}g}"
    return {"shown": shown, "exact": exact}


def _percent(share: Decimal | None, *, judged: bool = False) -> View:
    if share is None:
        return {"shown": ""}
    shown = percent_text(Fraction(share))
    return {"shown": shown, "sense": "bad" if judged and share < 0 else ""}


def signed_text(amount: Fraction, *, unit: Currency) -> str:
    """An amount with its sign, shortened."""
    sign = "+" if amount > 0 else ""
    return f"{sign}{amount_text(amount, unit=unit)}"


def exact_or_none(value: Decimal | None) -> Fraction | None:
    """A figure as an exact one; None stays None."""
    return None if value is None else Fraction(value)


def _none(rows: Sequence[object]) -> str:
    return "" if rows else "None."


def _cut(count: int, *, what: str, shown: int = _ROWS) -> str:
    """What a table says that does not show all of its rows."""
    return f"{count - shown:,} more {what} are in the JSON of this review." if count > shown else ""
