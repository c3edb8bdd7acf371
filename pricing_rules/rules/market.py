"""Market snapshots: what others asked for a model on one day, as a document with its source.

Invariant: a market rate names its snapshot and who offered it; an offer stands once in a snapshot,
and offers in two currencies never mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pricing_rules.document import Document, DocumentError, Name, Text, read_json, validate
from pricing_rules.money import CurrencyCode, RateText, exact_text
from pricing_rules.prices.conditions import UnitName


class MarketOffer(Document):
    """What one provider asks for a million of a unit of a model."""

    model: Name
    unit: UnitName
    per_mtok: RateText
    offered_by: Name


class Market(Document):
    """A dated snapshot of what others ask; ``source`` says where it was read."""

    schema_: Literal["tokenworks.market/1"] = Field(alias="schema")
    source: Text
    snapshot_date: date
    currency: CurrencyCode
    rates: Annotated[tuple[MarketOffer, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_offer_each(self) -> Market:
        seen: set[tuple[str, str, str]] = set()
        for offer in self.rates:
            key = (offer.offered_by, offer.model, offer.unit)
            if key in seen:
                raise ValueError(
                    f"{offer.offered_by} offers {offer.unit} of {offer.model} twice; keep one"
                )
            seen.add(key)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPoint:
    """A rate of the market per million units, with the offers that it comes from in words."""

    rate: Fraction
    offers: str


def load_market(data: bytes, *, name: str) -> Market:
    """Read a market snapshot (JSON); DocumentError names the path of what is wrong."""
    return validate(Market, read_json(data, name=name), name=name, lines={})


def check_markets(markets: Sequence[Market], *, currency: str) -> None:
    """DocumentError where a snapshot is in another currency or stands twice."""
    seen: set[tuple[str, str]] = set()
    for market in markets:
        snapshot = (market.source, market.snapshot_date.isoformat())
        where = f"market of {market.source}"
        if market.currency != currency:
            raise DocumentError(
                where, f"is in {market.currency}, and the policy in {currency}; convert it"
            )
        if snapshot in seen:
            raise DocumentError(where, f"of {market.snapshot_date} stands twice; give it once")
        seen.add(snapshot)


def market_point(
    markets: Sequence[Market], *, model: str, unit: str, statistic: Literal["lowest", "median"]
) -> MarketPoint | None:
    """The lowest or the median of all offers of one unit of a model; None without any.

    The median of an even number of offers is the mean of the middle two.
    """
    offers = sorted(
        (Fraction(offer.per_mtok), offer.offered_by, market.snapshot_date.isoformat())
        for market in markets
        for offer in market.rates
        if (offer.model, offer.unit) == (model, unit)
    )
    if not offers:
        return None
    if statistic == "lowest":
        rate, offered_by, day = offers[0]
        return MarketPoint(rate=rate, offers=f"{offered_by}, {day}")
    middle = offers[(len(offers) - 1) // 2], offers[len(offers) // 2]
    rate = (middle[0][0] + middle[1][0]) / 2
    days = sorted({day for _, _, day in offers})
    dated = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return MarketPoint(rate=rate, offers=f"{len(offers)} offers, {dated}")


def market_text(point: MarketPoint, *, model: str, statistic: str) -> str:
    """A market rate as people read it: ``the lowest market rate 0.6 of m (who, when)``."""
    return f"the {statistic} market rate {exact_text(point.rate)} of {model} ({point.offers})"
