"""What an agreement's discounts take off, and which rates they press under their floor.

Invariant: a discount is its percentage of the list amounts that it covers, exactly; a rate under
its floor is a finding and never changes a bill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement, Discount
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateEntry
from pricing_rules.prices.rating import Charge, ChargeBand

MTOK = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Discounted:
    """One discount: the positions of the charges that it covers, and what it takes off (<= 0)."""

    discount: Discount
    covered: tuple[int, ...]
    amount: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderFloor:
    """A rate that, after the discounts of the agreement, lies under its floor (per million)."""

    book_number: int
    model: str
    service_tier: str
    unit: str
    rate_after_discounts: Fraction
    floor: Fraction

    def sentence(self) -> str:
        """The finding as one sentence."""
        return (
            f"{self.model} in {self.service_tier}: {self.unit} at "
            f"{exact_text(self.rate_after_discounts)} per million after discounts is under its "
            f"floor of {exact_text(self.floor)} (book {self.book_number})"
        )


def apply_discounts(charges: Sequence[Charge], *, agreement: Agreement) -> tuple[Discounted, ...]:
    """The discounts that cover any charge, in the agreement's order."""
    found: list[Discounted] = []
    for discount in agreement.discounts:
        covered = tuple(
            i
            for i, charge in enumerate(charges)
            if discount.covers(
                model=charge.model, service_tier=charge.service_tier, unit=charge.unit
            )
        )
        if covered:
            base = sum((charges[i].amount for i in covered), Fraction(0))
            amount = -base * Fraction(discount.percent) / 100
            found.append(Discounted(discount=discount, covered=covered, amount=amount))
    return tuple(found)


def rates_under_floor(
    charges: Sequence[Charge], *, agreement: Agreement, books: BooksInForce
) -> tuple[UnderFloor, ...]:
    """Every charged rate that lies under its floor after the discounts, once, in charge order."""
    numbered = {book.number: book for book in books.books}
    found: dict[UnderFloor, None] = {}
    for charge in charges:
        percent = _percent_off(
            agreement, model=charge.model, service_tier=charge.service_tier, unit=charge.unit
        )
        for band in charge.bands:
            floor = _floor(numbered[band.book_number], charge)
            rate = _per_mtok(band) * (100 - percent) / 100
            if floor is not None and rate < floor:
                under = UnderFloor(
                    book_number=band.book_number,
                    model=charge.model,
                    service_tier=charge.service_tier,
                    unit=charge.unit,
                    rate_after_discounts=rate,
                    floor=floor,
                )
                found.setdefault(under)
    return tuple(found)


def agreed_rates_under_floor(book: PriceBook, *, agreement: Agreement) -> tuple[UnderFloor, ...]:
    """Every rate of a book, each band of a ladder too, that the agreement's discounts press under
    its floor, in the order of the book.

    A rate that no discount covers is not named: a person signed it off when the book was published.
    Flat amounts of bands count for nothing, since a floor is per token.
    """
    found: dict[UnderFloor, None] = {}
    for card in book.rate_cards:
        floors = {f.unit: Fraction(f.floor) for f in card.cost.floors} if card.cost else {}
        for entry in card.rates:
            percent = _percent_off(
                agreement, model=card.model, service_tier=card.service_tier, unit=entry.unit
            )
            if not percent or entry.unit not in floors:
                continue
            for rate, per in _listed(entry):
                after = Fraction(rate) * MTOK / per * (100 - percent) / 100
                if after < floors[entry.unit]:
                    under = UnderFloor(
                        book_number=book.number,
                        model=card.model,
                        service_tier=card.service_tier,
                        unit=entry.unit,
                        rate_after_discounts=after,
                        floor=floors[entry.unit],
                    )
                    found.setdefault(under)
    return tuple(found)


def _listed(entry: RateEntry) -> tuple[tuple[Decimal, int], ...]:
    """The rates of an entry, each with its per: one, or that of each band of its ladder."""
    if entry.ladder is None:
        # A rate entry has a rate or a ladder; it cannot be None here.
        return ((entry.rate or Decimal(0), entry.per),)
    return tuple((band.rate, band.per or entry.per) for band in entry.ladder.bands)


def _percent_off(agreement: Agreement, *, model: str, service_tier: str, unit: str) -> Fraction:
    """What the discounts of an agreement together take off such a charge, in percent."""
    return sum(
        (
            Fraction(discount.percent)
            for discount in agreement.discounts
            if discount.covers(model=model, service_tier=service_tier, unit=unit)
        ),
        Fraction(0),
    )


def _floor(book: PriceBook, charge: Charge) -> Fraction | None:
    card = book.card(model=charge.model, service_tier=charge.service_tier)
    if card is None or card.cost is None:
        return None
    for floor in card.cost.floors:
        if floor.unit == charge.unit:
            return Fraction(floor.floor)
    return None


def _per_mtok(band: ChargeBand) -> Fraction:
    return Fraction(band.rate) * MTOK / band.per
