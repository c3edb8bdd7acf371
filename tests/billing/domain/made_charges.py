"""Agreements, price books and charges to draft invoices from.

Invariant: a made charge is its bands' sum, and a band is quantity * rate / per, as rating makes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.domain.agreement.agreement import Agreement
from pricing_rules.document import validate
from pricing_rules.money import currency
from pricing_rules.period import Period, parse_period
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.prices.rating import Charge, ChargeBand, Rating, Unpriced

Fields = dict[str, Any]

OCTOBER: Period = parse_period("2026-10-01/2026-11-01", zone="UTC")

NO_TAX: Fields = {"category": "O", "note": "Outside the scope of VAT."}
TAX_19: Fields = {"category": "S", "rate_percent": "19"}

AGREEMENT: Fields = {
    "schema": "tokenworks.agreement/1",
    "account": "acme",
    "version": 3,
    "series": "usd",
    "currency": "USD",
    "zone": "UTC",
    "effective_from": "2026-10-01T00:00:00Z",
    "bill_to": {"name": "Acme Robotics"},
    "issuer": {"name": "Northern Tokens GmbH"},
    "payment_terms_days": 30,
    "tax": NO_TAX,
}


def agreement(changes: Mapping[str, Any] | None = None) -> Agreement:
    """The agreement above with some of its fields replaced."""
    return validate(Agreement, {**AGREEMENT, **(changes or {})}, name="agreement.yaml", lines={})


def discount(percent: str, changes: Mapping[str, Any] | None = None) -> Fields:
    """A discount on everything, with some of its fields replaced."""
    return {"id": f"d{percent}", "description": "Launch", "percent": percent, **(changes or {})}


def book(changes: Mapping[str, Any] | None = None) -> PriceBook:
    """A price book with one card, which has the rate 1 for output_tokens and floors as given."""
    card = {
        "model": "m",
        "service_tier": "standard",
        "rates": [{"unit": "output_tokens", "rate": "1"}],
    }
    fields = {
        "schema": "tokenworks.price-book/1",
        "series": "usd",
        "number": 1,
        "currency": "USD",
        "effective_from": "2026-09-01T00:00:00Z",
        "rate_cards": [card],
        **(changes or {}),
    }
    return load_price_book(json.dumps(fields).encode(), name="book.json")


def books(changes: Mapping[str, Any] | None = None) -> BooksInForce:
    """The price book above alone."""
    return BooksInForce(books=(book(changes),))


COST: Fields = {
    "pool": "p",
    "promise": "any",
    "reference_input_tokens": 1000,
    "reference_output_tokens": 1000,
    "hardware": [],
}


def floored(floor: str, *, unit: str = "output_tokens", rate: str = "1") -> BooksInForce:
    """A price book whose one rate (per million) has a floor."""
    floors = {
        "unit": unit,
        "kind": "full",
        "unit_cost_per_mtok": floor,
        "utilization": "1",
        "variable_per_mtok": "0",
        "minimum_margin": "0",
        "revenue_share": "0",
        "floor": floor,
    }
    card = {
        "model": "m",
        "service_tier": "standard",
        "rates": [{"unit": "output_tokens", "rate": rate}],
        "cost": {
            "pool": "p",
            "promise": "any",
            "reference_input_tokens": 1,
            "reference_output_tokens": 1,
            "hardware": [],
            "floors": [floors],
        },
    }
    return books({"rate_cards": [card]})


def band(
    quantity: int, *, rate: str = "1", per: int = 1_000_000, number: int = 1, flat: str = "0"
) -> ChargeBand:
    """A band whose amount is quantity * rate / per + flat."""
    return ChargeBand(
        book_number=number,
        when="",
        quantity=quantity,
        rate=Decimal(rate),
        per=per,
        flat=Fraction(flat),
        amount=Fraction(rate) * Fraction(quantity, per) + Fraction(flat),
    )


def charge(
    *bands: ChargeBand,
    account: str = "acme",
    model: str = "m",
    service_tier: str = "standard",
    unit: str = "output_tokens",
) -> Charge:
    """A charge of the bands."""
    return Charge(
        account=account,
        model=model,
        service_tier=service_tier,
        unit=unit,
        quantity=sum(part.quantity for part in bands),
        amount=sum((part.amount for part in bands), Fraction(0)),
        bands=bands,
    )


def costing(amount: str, *, model: str = "m", account: str = "acme") -> Charge:
    """A charge of one request at a rate of ``amount`` each."""
    return charge(band(1, rate=amount, per=1), model=model, unit="requests", account=account)


def unpriced(account: str = "acme") -> Unpriced:
    """2.5 seconds of audio that no rate covers."""
    return Unpriced(
        account=account,
        model="m",
        service_tier="standard",
        unit="audio_seconds",
        quantity=2500,
        events=2,
        reason="book 1 has no rate for audio_seconds under these conditions",
    )


def rated(charges: Sequence[Charge], *, left: Sequence[Unpriced] = (), code: str = "USD") -> Rating:
    """A rating of the charges, with unpriced usage ``left``."""
    return Rating(currency=currency(code), charges=tuple(charges), unpriced=tuple(left))
