"""Invoices without a database: the draft of one account from files, and the walk of a line.

Invariant: a preview is computed from its files alone, and the walk uses the books that priced it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.elsewhere import served_elsewhere
from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.explanation import explain_line
from billing.domain.invoice.invoice import Invoice
from billing.engines.duckdb_totals import Totals
from billing.operations.files import read_file
from billing.operations.price_book import read_books
from billing.operations.rating import rate_file
from pricing_rules.document import load_yaml
from pricing_rules.period import parse_period
from pricing_rules.prices.explain import Step
from pricing_rules.prices.price_book import BooksInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """An invoice as it would be, the books behind it, and what the usage file held."""

    invoice: Invoice
    books: BooksInForce
    totals: Totals

    def explain(self, line: int) -> Step:
        """The walk of one line down to the measured rows."""
        return explain_line(self.invoice, line=line, books=self.books)


def preview_invoice(
    agreement: Path, *, price_books: Sequence[Path], usage: Path, period: str
) -> Preview:
    """The invoice of the agreement's account for a period (``START/END``, dates in its zone)."""
    agreed = load_yaml(Agreement, read_file(agreement), name=agreement.name)
    books = read_books(price_books)
    billed = parse_period(period, zone=agreed.zone)
    rated = rate_file(usage, books=books, period=billed)
    invoice = draft_invoice(
        rated.rating,
        agreement=agreed,
        books=books,
        period=billed,
        elsewhere=served_elsewhere(rated.totals.totals, agreement=agreed),
    )
    return Preview(invoice=invoice, books=books, totals=rated.totals)
