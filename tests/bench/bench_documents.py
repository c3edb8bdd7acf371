"""How many invoices become PDFs in a second, on one core.

Invariant: every run renders an invoice that was not rendered before, so that no cache answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from billing.documents import render_invoice
from billing.domain.invoice.invoice import Invoice
from tests.bench.timing import measure
from tests.billing.documents.made_invoice import BAND, USAGE_LINE, invoice

_LINES = (12, 200)


def run() -> Iterator[Mapping[str, object]]:
    """PDFs per second for an invoice of 12 lines and one of 200."""
    for lines in _LINES:
        fresh = map(_invoice, itertools.repeat(lines), itertools.count(1))
        seconds = measure(map(render_invoice, fresh).__next__)
        yield {"metric": f"pdf_{lines}_lines", "value": 1 / seconds, "unit": "invoices/s"}


def _invoice(lines: int, number: int) -> Invoice:
    return invoice(
        {
            "status": "preview",
            "account": f"account-{number}",
            "lines": [_line(line, number) for line in range(1, lines + 1)],
        }
    )


def _line(line: int, number: int) -> dict[str, object]:
    quantity = 288_000_000 + 4 * number  # at 0.25 per million: 72 and number millionths
    amount = f"72.{number:06d}"
    return {
        **USAGE_LINE,
        "line": line,
        "description": f"model-{line}, standard: output tokens",
        "model": f"model-{line}",
        "quantity": quantity,
        "bands": [{**BAND, "when": "", "quantity": quantity, "amount": amount}],
        "amount_exact": amount,
        "amount_minor": 7200,
    }
