"""The records of charges, as documents show them: books, bands, unpriced usage.

Invariant: counts are integers at the unit's scale, exact amounts are text, and a band says every
setting that its amount depends on.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from pricing_rules.document import Document, DocumentError, Name, Text
from pricing_rules.money import RateText, exact_text, parse_exact
from pricing_rules.period import MomentText
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.rating import ChargeBand, Unpriced
from pricing_rules.usage.units import UNITS


def _exact(value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if not isinstance(value, str):
        raise ValueError(f'must be a string in quotes such as "1.25" or "1/3", not {value!r:.40}')
    return parse_exact(value)


ExactText = Annotated[
    Fraction,
    BeforeValidator(_exact),
    PlainSerializer(exact_text, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A Fraction that is a string in JSON: a decimal where it terminates, else ``n/d``."""

Count = Annotated[int, Field(ge=0)]
Scale = Annotated[int, Field(ge=1)]


class BookUsed(Document):
    """A price book that rates of this invoice come from."""

    series: Name
    number: int
    digest: Name

    @classmethod
    def of(cls, book: PriceBook) -> BookUsed:
        """A book as a record. DocumentError for one without a digest: nobody could say which book
        it was.
        """
        if book.digest is None:
            raise DocumentError(
                f"price book {book.number}", "has no digest; publish it, or load it from its file"
            )
        return cls(series=book.series, number=book.number, digest=book.digest)


class PricedBand(Document):
    """A part of a charge at one rate: exact ``amount``, which includes ``flat``.

    ``whole_packages``: begun packages of ``per`` are counted whole (or only full ones, as the
    ladder says), so the amount is not quantity * rate / per. ``capped``: the band's cap was
    reached.
    """

    book_number: int
    when: Text | Literal[""]
    quantity: Count
    rate: RateText
    per: Annotated[int, Field(ge=1)]
    flat: Annotated[ExactText, Field(ge=0)]
    amount: ExactText
    whole_packages: bool = False
    capped: bool = False

    @classmethod
    def of(cls, band: ChargeBand) -> PricedBand:
        """The band of a charge as a record."""
        return cls(
            book_number=band.book_number,
            when=band.when,
            quantity=band.quantity,
            rate=band.rate,
            per=band.per,
            flat=band.flat,
            amount=band.amount,
            whole_packages=band.whole_packages,
            capped=band.capped,
        )


class UnpricedUsage(Document):
    """Usage without a rate: it is in no total, and blocks finalizing until it is priced or
    waived.

    ``period_start_at`` names its billing period where that is an earlier one than the invoice's.
    """

    model: Name
    service_tier: Name
    unit: Name
    quantity: Count
    scale: Scale
    events: Count
    reason: Text
    period_start_at: MomentText | None = None

    @classmethod
    def of(cls, usage: Unpriced) -> UnpricedUsage:
        """Unpriced usage as a record."""
        return cls(
            model=usage.model,
            service_tier=usage.service_tier,
            unit=usage.unit,
            quantity=usage.quantity,
            scale=UNITS[usage.unit].scale,
            events=usage.events,
            reason=usage.reason,
        )

    def of_period(self, start_at: int) -> UnpricedUsage:
        """The same record, of an earlier billing period than the invoice's."""
        return self.model_copy(update={"period_start_at": start_at})
