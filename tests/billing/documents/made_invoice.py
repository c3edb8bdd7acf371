"""An invoice to print, with some of its fields replaced.

Invariant: its totals, taxes and digits are computed from its lines and currency, so that it adds up
whatever is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from billing.domain.invoice.invoice import Invoice
from billing.domain.tax.tax import TaxedMinor, tax_in_gross, tax_on_net
from pricing_rules.document import validate
from pricing_rules.money import currency

Fields = dict[str, Any]

DIGEST = "sha256:" + 64 * "a"

BILL_TO: Fields = {"name": "Acme Robotics", "address": ["500 Market Street"], "tax_id": None}

# 123,456,789 tokens at 0.25 per million are 30.86419725; less 10 % = 27.777..., 27.77 net after the
# lines are shared out in cents; 19 % of 27.77 = 5.2763, 5.28; 27.77 + 5.28 = 33.05.
BAND: Fields = {
    "book_number": 1,
    "when": "request_tokens>200000",
    "quantity": 123456789,
    "rate": "0.25",
    "per": 1000000,
    "flat": "0",
    "amount": "30.86419725",
}
USAGE_LINE: Fields = {
    "line": 1,
    "kind": "usage",
    "description": "gpt-oss-120b, standard: output tokens",
    "model": "gpt-oss-120b",
    "service_tier": "standard",
    "unit": "output_tokens",
    "quantity": 123456789,
    "scale": 1,
    "bands": [BAND],
    "amount_exact": "30.86419725",
    "amount_minor": 3086,
}
DISCOUNT_LINE: Fields = {
    "line": 2,
    "kind": "discount",
    "description": "Launch discount 10 %",
    "discount_id": "launch",
    "applies_to": [1],
    "percent": "10",
    "amount_exact": "-3.086419725",
    "amount_minor": -309,
}
CORRECTION_LINE: Fields = {
    "line": 3,
    "kind": "correction",
    "description": "Correction of 2026-000041: gpt-oss-120b, standard: output tokens",
    "corrects": "2026-000041",
    "period": {
        "start_at": "2026-09-01T00:00:00Z",
        "end_at": "2026-10-01T00:00:00Z",
        "zone": "UTC",
    },
    "series": "usd",
    "model": "gpt-oss-120b",
    "service_tier": "standard",
    "unit": "output_tokens",
    "quantity": -2_000_000,
    "scale": 1,
    "bands": [],
    "rated_exact": "0",
    "invoiced_exact": "0.5",
    "amount_exact": "-0.5",
    "amount_minor": -50,
    "tax_category": "S",
    "tax_rate_percent": "19",
}
CORRECTED_DISCOUNT: Fields = {
    **{
        key: CORRECTION_LINE[key]
        for key in ("kind", "corrects", "period", "series", "tax_category", "tax_rate_percent")
    },
    "line": 4,
    "description": "Correction of 2026-000041: Launch discount 10 %",
    "discount_id": "launch",
    "percent": "10",
    "rated_exact": "0",
    "invoiced_exact": "-0.05",
    "amount_exact": "0.05",
    "amount_minor": 5,
}
FINAL: Fields = {
    "status": "final",
    "number": "2026-000042",
    "issued_at": "2026-11-02T23:30:00Z",
    "through_epoch": 7,
    "covers": [
        {
            "start_at": "2026-10-01T00:00:00Z",
            "end_at": "2026-11-01T00:00:00Z",
            "through_epoch": 7,
        },
        {
            "start_at": "2026-09-01T00:00:00Z",
            "end_at": "2026-10-01T00:00:00Z",
            "through_epoch": 7,
        },
    ],
}
"""What a final invoice has beyond a preview."""

STANDARD_TAX: Fields = {"category": "S", "rate_percent": "19"}
NO_TAX: Fields = {"category": "Z", "rate_percent": "0"}

INVOICE: Fields = {
    "schema": "tokenworks.invoice/1",
    "status": "preview",
    "number": None,
    "account": "acme",
    "bill_to": BILL_TO,
    "issuer": {
        "name": "Northern Tokens GmbH",
        "address": ["Turmstraße 12", "10559 Berlin"],
        "tax_id": "DE123456789",
        "email": "billing@northern.example",
    },
    "agreement_version": 1,
    "currency": "USD",
    "period": {
        "start_at": "2026-10-01T00:00:00Z",
        "end_at": "2026-11-01T00:00:00Z",
        "zone": "UTC",
    },
    "payment_terms_days": 30,
    "price_books": [{"series": "usd", "number": 1, "digest": DIGEST}],
    "lines": [USAGE_LINE, DISCOUNT_LINE],
    "prices_include_tax": False,
    "taxes": [STANDARD_TAX],
    "unpriced": [],
}


def invoice_fields(changes: Mapping[str, Any] | None = None) -> Fields:
    """The JSON of the invoice above with some of its fields replaced, adding up.

    In ``taxes`` a row needs only its category, rate and note: the first takes all that the others,
    which carry their share as ``taxed_minor``, leave.
    """
    fields = {**INVOICE, **(changes or {})}
    usage, discount, correction = (
        sum(line["amount_minor"] for line in fields["lines"] if line["kind"] == kind)
        for kind in ("usage", "discount", "correction")
    )
    corrects = any(line["kind"] == "correction" for line in fields["lines"])
    taxes = _taxes(
        fields["taxes"],
        taxed_minor=usage + discount + correction,
        included=fields["prices_include_tax"],
    )
    net, tax = (sum(row[key] for row in taxes) for key in ("net_minor", "tax_minor"))
    computed = {
        "minor_digits": currency(fields["currency"]).minor_digits,
        "usage_minor": usage,
        "discount_minor": discount,
        "correction_minor": correction if corrects else None,
        "taxes": taxes,
        "net_minor": net,
        "tax_minor": tax,
        "total_minor": net + tax,
    }
    return {**fields, **computed}


def typed(fields: Mapping[str, Any]) -> Invoice:
    """The invoice of its JSON."""
    return validate(Invoice, dict(fields), name="invoice", lines={})


def invoice(changes: Mapping[str, Any] | None = None) -> Invoice:
    """The invoice above with some of its fields replaced, adding up."""
    return typed(invoice_fields(changes))


def _taxes(rows: Sequence[Fields], *, taxed_minor: int, included: bool) -> list[Fields]:
    rest = taxed_minor - sum(row.get("taxed_minor", 0) for row in rows)
    found = []
    for row in rows:
        kept = {key: value for key, value in row.items() if key != "taxed_minor"}
        taxed = _taxed(row.get("taxed_minor", rest), row["rate_percent"], included=included)
        found.append({**kept, "net_minor": taxed.net_minor, "tax_minor": taxed.tax_minor})
    return found


def _taxed(taxed_minor: int, rate_percent: str, *, included: bool) -> TaxedMinor:
    compute = tax_in_gross if included else tax_on_net
    return compute(taxed_minor, rate_percent=Decimal(rate_percent))
