"""The number of an invoice as text: ``INV-2026-000001`` (series, year of issue, number).

Invariant: the number alone is gapless in its series; the year is there for people, and the same
text always names the same series and number.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from billing.store.invoices import InvoiceNumber, StoredInvoice, find_invoices
from billing.store.store import Connection
from pricing_rules.document import DocumentError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERIES = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_NUMBER = re.compile(r"(?P<series>.+)-(?P<year>[0-9]{4})-(?P<number>[0-9]{6,18})\Z")


def check_series(name: str) -> None:
    """DocumentError where a name is not that of a number series: it is part of numbers, which are
    names of files, too.
    """
    if not _SERIES.fullmatch(name):
        raise DocumentError(
            "series",
            f'"{name:.40}" is not the name of a number series: up to 40 letters, digits, ".", "_" '
            'and "-", a letter or digit first',
        )


def number_text(series: str, *, number: int, issued_at: int) -> str:
    """The text of a number; the year is that of ``issued_at`` in UTC."""
    issued = _EPOCH + timedelta(microseconds=issued_at)
    return f"{series}-{issued.year:04d}-{number:06d}"


def text_of(stored: StoredInvoice) -> str:
    """The number of a stored invoice as text."""
    return number_text(stored.series, number=stored.number, issued_at=stored.finalized_at)


def key_of(stored: StoredInvoice) -> InvoiceNumber:
    """Which invoice it is."""
    return InvoiceNumber(issuer=stored.issuer, series=stored.series, number=stored.number)


def find_invoice(
    connection: Connection, *, number: str, issuer: str | None = None
) -> StoredInvoice:
    """The invoice of a number. DocumentError where there is none, and where issuers share it."""
    where = f"invoice {number:.60}"
    parts = _NUMBER.match(number)
    if not parts:
        raise DocumentError(where, "is not a number such as INV-2026-000001")
    series, counted = parts["series"], int(parts["number"])
    found = [
        one
        for one in find_invoices(connection, series=series, number=counted)
        if issuer in (None, one.issuer) and text_of(one) == number
    ]
    if not found:
        raise DocumentError(where, "there is no invoice of this number")
    if len(found) > 1:
        issuers = ", ".join(one.issuer for one in found)
        raise DocumentError(where, f"several issuers have this number ({issuers}); name one")
    return found[0]
