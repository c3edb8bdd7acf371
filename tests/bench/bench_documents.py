"""How many invoices become PDFs in a second, on one core.

Invariant: every run renders an invoice that was not rendered before, so that no cache answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from billing.documents import render_invoice
from tests.bench.timing import measure

_LINES = (12, 200)


def run() -> Iterator[Mapping[str, object]]:
    """PDFs per second for an invoice of 12 lines and one of 200."""
    for lines in _LINES:
        fresh = map(_invoice, itertools.repeat(lines), itertools.count(1))
        seconds = measure(map(render_invoice, fresh).__next__)
        yield {"metric": f"pdf_{lines}_lines", "value": 1 / seconds, "unit": "invoices/s"}


def _invoice(lines: int, number: int) -> dict[str, object]:
    party = {"name": "Example Tokens", "address": ["1 Main Street"], "tax_id": None, "email": None}
    return {
        "schema": "tokenworks.invoice/1",
        "status": "final",
        "number": f"2026-{number:06d}",
        "issuer": party,
        "customer": {**party, "account": f"account-{number}"},
        "currency": "USD",
        "minor_digits": 2,
        "period": {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z", "zone": "UTC"},
        "payment_terms_days": 30,
        "price_books": [{"series": "usd", "number": 1, "digest": "sha256:" + 64 * "0"}],
        "lines": [_line(line, number) for line in range(1, lines + 1)],
        "usage_minor": 7200 * lines,
        "discount_minor": 0,
        "prices_include_tax": False,
        "taxes": [],
        "net_minor": 7200 * lines,
        "tax_minor": 0,
        "total_minor": 7200 * lines,
        "unpriced": [],
    }


def _line(line: int, number: int) -> dict[str, object]:
    band = {
        "book_number": 1,
        "when": None,
        "quantity": 288_000_000 + number,
        "rate": "0.25",
        "per": 1_000_000,
        "flat": "0",
        "amount": "72.00000025",
    }
    return {
        "line": line,
        "kind": "usage",
        "description": f"model-{line}, standard: output tokens",
        "quantity": 288_000_000 + number,
        "scale": 1,
        "bands": [band],
        "amount_minor": 7200,
    }
