"""The rating of usage as a document (``tokenworks.rating/1``): what ``tokenworks rate`` prints.

Invariant: the charges of an account add up to its ``total_exact``, whose rounding is its
``total_minor``; over all, both are the sums of the accounts', because each account is billed alone.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from billing.domain.charging.records import (
    BookUsed,
    Count,
    ExactText,
    PricedBand,
    Scale,
    UnpricedUsage,
)
from billing.domain.tax.tax import round_amount
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import CurrencyCode
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating
from pricing_rules.usage.units import UNITS

MAX_REASON = 2000
"""Longest reason of a refused row; what is longer is cut and ends in an ellipsis."""


def _printable(reason: object) -> object:
    # A reason quotes the row, and a row may hold anything: it must not be refused in its turn.
    if not isinstance(reason, str):
        return reason
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in reason
    ).strip()
    return shown if len(shown) <= MAX_REASON else shown[: MAX_REASON - 1].rstrip() + "…"


class EventCounts(Document):
    """What became of the rows: received = accepted + duplicate + conflict + rejected.

    ``outside_period`` and ``not_billable`` are parts of ``accepted`` that have no charge.
    """

    received: Count
    accepted: Count
    duplicate: Count
    conflict: Count
    rejected: Count
    outside_period: Count
    not_billable: Count

    @model_validator(mode="after")
    def _adds_up(self) -> EventCounts:
        if self.received != self.accepted + self.duplicate + self.conflict + self.rejected:
            raise ValueError("received is not accepted + duplicate + conflict + rejected")
        return self


class RefusedRow(Document):
    """One row that is not counted: its number in the file, and why.

    What the reason quotes from the row is printable here: a control or invisible character is shown
    as its escape.
    """

    row: Count
    reason: Annotated[Text, BeforeValidator(_printable)]


class RatedCharge(Document):
    """What is owed for one unit of one model in one service tier; see ``PricedBand``."""

    model: Name
    service_tier: Name
    unit: Name
    quantity: Count
    scale: Scale
    amount: ExactText
    bands: tuple[PricedBand, ...]


class RatedAccount(Document):
    """The charges of one account. ``total_minor`` is its exact total, rounded half away from
    zero.
    """

    account: Name
    charges: tuple[RatedCharge, ...]
    total_exact: ExactText
    total_minor: int
    unpriced: tuple[UnpricedUsage, ...]


class RatingReport(Document):
    """The rating of one usage file; without a period the file is one period."""

    schema_: Literal["tokenworks.rating/1"] = Field(alias="schema")
    currency: CurrencyCode
    minor_digits: int
    period: str | None = None
    price_books: tuple[BookUsed, ...]
    events: EventCounts
    accounts: tuple[RatedAccount, ...]
    total_exact: ExactText
    total_minor: int
    refused: tuple[RefusedRow, ...]


def report_rating(
    rating: Rating,
    *,
    books: BooksInForce,
    period: str | None,
    events: EventCounts,
    refused: tuple[RefusedRow, ...],
) -> RatingReport:
    """The document of a rating, its accounts in order of their names."""
    accounts = tuple(_account(rating, account=account) for account in rating.accounts)
    return RatingReport(
        schema="tokenworks.rating/1",
        currency=rating.currency.code,
        minor_digits=rating.currency.minor_digits,
        period=period,
        price_books=tuple(
            BookUsed.of(book) for book in sorted(books.books, key=lambda b: b.number)
        ),
        events=events,
        accounts=accounts,
        total_exact=rating.total_exact,
        total_minor=sum(account.total_minor for account in accounts),
        refused=refused,
    )


def _account(rating: Rating, *, account: str) -> RatedAccount:
    own = rating.of_account(account)
    total: Fraction = own.total_exact
    return RatedAccount(
        account=account,
        charges=tuple(
            RatedCharge(
                model=charge.model,
                service_tier=charge.service_tier,
                unit=charge.unit,
                quantity=charge.quantity,
                scale=UNITS[charge.unit].scale,
                amount=charge.amount,
                bands=tuple(PricedBand.of(band) for band in charge.bands),
            )
            for charge in own.charges
        ),
        total_exact=total,
        total_minor=round_amount(total, unit=rating.currency),
        unpriced=tuple(UnpricedUsage.of(usage) for usage in own.unpriced),
    )
