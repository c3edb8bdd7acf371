"""A price book beside the market: each rate and its floor against what others ask for the model.

Invariant: a rate is held against offers of its own unit and model alone, in the currency of the
book; where there is none it says so, and a floor over an offer names the unit cost that would meet
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pricing_rules.document import DocumentError
from pricing_rules.money import decimal_text, exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import COST_CURRENCY, UnitFloor
from pricing_rules.rules.actions import terminating
from pricing_rules.rules.guard_rails import entry_bands
from pricing_rules.rules.limits import percent_text
from pricing_rules.rules.market import Market, MarketOffer, market_point

Standing = Literal["under every offer", "among the offers", "over every offer", "no offer"]
FloorOver = Literal["", "the lowest offer", "the median", "every offer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What others ask for a million of one unit of a model; who asks least and most."""

    count: int
    lowest: str
    lowest_by: tuple[str, ...]
    median: str
    highest: str
    highest_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorBesideMarket:
    """The floor of a unit beside its offers.

    ``rate_over_percent``: (rate - floor) / floor. ``against_lowest_percent`` and ``_median_``:
    (floor - offer) / offer; all None without something to divide by.
    ``unit_cost_for_lowest`` and ``_median_``: the unit cost at 100 % busy whose floor is that
    offer, (offer x (1 - m - f) - v) x U; "none" where not even 0 would do, None without an offer.
    ``raised_by``: the slower service tier that holds the floor; its unit cost has to fall then.
    """

    floor: str
    unit_cost: str
    over: FloorOver
    rate_over_percent: str | None
    against_lowest_percent: str | None
    against_median_percent: str | None
    unit_cost_for_lowest: str | None
    unit_cost_for_median: str | None
    raised_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBesideMarket:
    """One rate, or one band of a ladder (up to ``up_to``), per million units.

    ``against_..._percent``: (rate - offer) / offer. A rate of larger requests has no offers: a
    snapshot is of the smallest. ``floor`` is None where the book has none.
    """

    model: str
    service_tier: str
    unit: str
    when: str
    up_to: str | None
    rate: str
    standing: Standing
    against_lowest_percent: str | None
    against_median_percent: str | None
    against_highest_percent: str | None
    offers: Offers | None
    floor: FloorBesideMarket | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """The offers of one unit of a model as numbers."""

    offers: tuple[MarketOffer, ...]
    lowest: Fraction
    median: Fraction
    highest: Fraction


def compare_with_market(book: PriceBook, *, market: Market) -> tuple[RateBesideMarket, ...]:
    """Every rate of a book beside the offers of ``market`` under the same model name and unit.

    Rates are taken before multipliers and discounts. Dollar offers are converted at the exchange
    rate that a book in another currency states; DocumentError where it states none.
    """
    market = _in_currency(market, book=book)
    ranges: dict[tuple[str, str], _Range | None] = {}
    found: list[RateBesideMarket] = []
    for card in book.rate_cards:
        for entry in card.rates:
            key = (card.model, entry.unit)
            if key not in ranges:
                ranges[key] = _range(market, model=card.model, unit=entry.unit)
            offers = None if entry.when.threshold_tokens else ranges[key]
            found += _rows(card, entry=entry, offers=offers)
    return tuple(found)


def _in_currency(market: Market, *, book: PriceBook) -> Market:
    if market.currency == book.currency:
        return market
    if book.exchange is None or market.currency != COST_CURRENCY:
        raise DocumentError(
            f"market of {market.source}",
            f"is in {market.currency}, and the book in {book.currency} without an exchange rate "
            f"from {market.currency}; give a snapshot in {book.currency}",
        )
    per_usd = Fraction(book.exchange.per_usd)
    rates = tuple(
        one.model_copy(update={"per_mtok": terminating(Fraction(one.per_mtok) * per_usd)})
        for one in market.rates
    )
    return market.model_copy(update={"rates": rates, "currency": book.currency})


def _range(market: Market, *, model: str, unit: str) -> _Range | None:
    offers = tuple(one for one in market.rates if (one.model, one.unit) == (model, unit))
    median = market_point([market], model=model, unit=unit, statistic="median")
    if median is None:
        return None
    rates = [Fraction(one.per_mtok) for one in offers]
    return _Range(offers=offers, lowest=min(rates), median=median.rate, highest=max(rates))


def _rows(card: RateCard, *, entry: RateEntry, offers: _Range | None) -> Iterator[RateBesideMarket]:
    floors = card.cost.floors if card.cost else ()
    floor = next((one for one in floors if one.unit == entry.unit), None)
    for up_to, rate in entry_bands(entry):
        yield RateBesideMarket(
            model=card.model,
            service_tier=card.service_tier,
            unit=entry.unit,
            when=entry.when.text(),
            up_to=None if up_to is None else decimal_text(up_to),
            rate=exact_text(rate),
            standing=_standing(rate, offers=offers),
            against_lowest_percent=_against(rate, other=offers.lowest if offers else None),
            against_median_percent=_against(rate, other=offers.median if offers else None),
            against_highest_percent=_against(rate, other=offers.highest if offers else None),
            offers=_shown(offers) if offers else None,
            floor=_floor(floor, rate=rate, offers=offers) if floor else None,
        )


def _standing(rate: Fraction, *, offers: _Range | None) -> Standing:
    if offers is None:
        return "no offer"
    if rate < offers.lowest:
        return "under every offer"
    return "over every offer" if rate > offers.highest else "among the offers"


def _shown(offers: _Range) -> Offers:
    def by(rate: Fraction) -> tuple[str, ...]:
        return tuple(
            sorted(one.offered_by for one in offers.offers if Fraction(one.per_mtok) == rate)
        )

    return Offers(
        count=len(offers.offers),
        lowest=exact_text(offers.lowest),
        lowest_by=by(offers.lowest),
        median=exact_text(offers.median),
        highest=exact_text(offers.highest),
        highest_by=by(offers.highest),
    )


def _floor(floor: UnitFloor, *, rate: Fraction, offers: _Range | None) -> FloorBesideMarket:
    lowest = Fraction(floor.floor)
    return FloorBesideMarket(
        floor=exact_text(lowest),
        unit_cost=exact_text(Fraction(floor.unit_cost_per_mtok)),
        over=_over(lowest, offers=offers),
        rate_over_percent=_against(rate, other=lowest),
        against_lowest_percent=_against(lowest, other=offers.lowest if offers else None),
        against_median_percent=_against(lowest, other=offers.median if offers else None),
        unit_cost_for_lowest=_unit_cost_for(offers.lowest, floor=floor) if offers else None,
        unit_cost_for_median=_unit_cost_for(offers.median, floor=floor) if offers else None,
        raised_by=floor.raised.service_tier if floor.raised else None,
    )


def _over(floor: Fraction, *, offers: _Range | None) -> FloorOver:
    if offers is None or floor <= offers.lowest:
        return ""
    if floor > offers.highest:
        return "every offer"
    return "the median" if floor > offers.median else "the lowest offer"


def _unit_cost_for(offer: Fraction, *, floor: UnitFloor) -> str:
    """The floor's formula, solved for the unit cost."""
    kept = 1 - Fraction(floor.minimum_margin) - Fraction(floor.revenue_share)
    unit_cost = (offer * kept - Fraction(floor.variable_per_mtok)) * Fraction(floor.utilization)
    return "none" if unit_cost < 0 else exact_text(unit_cost)


def _against(rate: Fraction, *, other: Fraction | None) -> str | None:
    return percent_text((rate - other) / other) if other else None
