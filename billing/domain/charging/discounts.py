"""What an agreement's discounts take off, and which rates they press under their floor.

Invariant: a discount is its percentage of the list amounts that it covers, exactly; a rate under
its floor is a finding and never changes a bill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement, Discount, ServedIn
from pricing_rules.money import decimal_text, exact_text
from pricing_rules.period import LAST_MOMENT_AT, moment_text
from pricing_rules.prices.lowest_rate import lowest_rate
from pricing_rules.prices.matching import multiplied
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard, RateEntry
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
    """A rate that, after the discounts of the agreement, lies under its floor (per million).

    ``when``: the condition that a charge shows with it, or the allowance that made it 0.
    """

    book_number: int
    model: str
    service_tier: str
    unit: str
    rate_after_discounts: Fraction
    floor: Fraction
    when: str = ""

    def sentence(self) -> str:
        """The finding as one sentence."""
        when = f" ({self.when})" if self.when else ""
        return (
            f"{self.model} in {self.service_tier}: {self.unit}{when} at "
            f"{exact_text(self.rate_after_discounts)} per million after discounts is under its "
            f"floor of {exact_text(self.floor)} (book {self.book_number})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PressedRate(UnderFloor):
    """A listed rate that the discounts of an agreement press under its floor, from a moment on.

    ``rate``: per million before the discounts. ``month``: that of the agreement. ``until_at``: when
    that is over by a ramp or another book; None where neither says so.
    """

    rate: Fraction
    discounts: tuple[Discount, ...]
    month: int
    from_at: int
    until_at: int | None

    def sentence(self) -> str:
        """The finding as one sentence: the rate, its discounts, the floor and since when."""
        under = UnderFloor.sentence(self)
        taken = " and ".join(f"{decimal_text(one.percent)} % of {one.id}" for one in self.discounts)
        until = "" if self.until_at is None else f" until {moment_text(self.until_at)}"
        return (
            f"{under}: {exact_text(self.rate)} less {taken}, from {moment_text(self.from_at)} on "
            f"(month {self.month}){until}"
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
                    when=band.when,
                )
                found.setdefault(under)
    return tuple(found)


def agreed_rates_under_floor(
    book: PriceBook, *, agreement: Agreement, until_at: int = LAST_MOMENT_AT
) -> tuple[PressedRate, ...]:
    """Every rate of a book, each band of a ladder too, that the agreement's discounts press under
    its floor in some month: month by month, in the order of the book.

    What stays as it was the month before is named once, with the moment from which on. Only months
    count in which both are in effect, up to ``until_at``, and only rates that the account may meet
    where it is served. A rate that no discount covers is not named: a person signed it off when the
    book was published. A rate under a multiplier below 1 is taken at its lowest. Flat amounts of
    bands count for nothing, since a floor is per token.
    """
    start_at = max(book.effective_from, agreement.effective_from)
    starts_at = (start_at, *(at for at in agreement.ramp_starts_at() if start_at < at))
    stretches = [
        (at, _pressed(book, agreement=agreement.in_month_of(at)))
        for at in starts_at
        if at < until_at
    ]
    end_at = None if until_at == LAST_MOMENT_AT else until_at
    found: list[PressedRate] = []
    for i, (from_at, pressed) in enumerate(stretches):
        before = stretches[i - 1][1] if i else {}
        for under, (rate, discounts) in pressed.items():
            if under in before:
                continue
            over_at = [at for at, later in stretches[i + 1 :] if under not in later]
            found.append(
                PressedRate(
                    book_number=under.book_number,
                    model=under.model,
                    service_tier=under.service_tier,
                    unit=under.unit,
                    rate_after_discounts=under.rate_after_discounts,
                    floor=under.floor,
                    rate=rate,
                    discounts=discounts,
                    month=agreement.month_at(from_at),
                    from_at=from_at,
                    until_at=over_at[0] if over_at else end_at,
                )
            )
    return tuple(found)


def in_force_until_at(book: PriceBook, *, books: BooksInForce) -> int:
    """When another book of the series comes into force in place of this one; for the last one, the
    end of time. A book that is superseded from its start on is never in force: until then.
    """
    own = (book.effective_from, book.number)
    later = [one.effective_from for one in books.books if (one.effective_from, one.number) > own]
    return min(later, default=LAST_MOMENT_AT)


def _pressed(
    book: PriceBook, *, agreement: Agreement
) -> dict[UnderFloor, tuple[Fraction, tuple[Discount, ...]]]:
    """What the discounts of one month press under its floor, with the rate before and why."""
    found: dict[UnderFloor, tuple[Fraction, tuple[Discount, ...]]] = {}
    served_in = agreement.served_in
    if served_in is not None and served_in.regions:
        regions = (None, *served_in.regions)
        met = tuple(one for one in book.multipliers if one.when.region in regions)
        book = book.model_copy(update={"multipliers": met})
    for card in book.rate_cards:
        floors = {f.unit: Fraction(f.floor) for f in card.cost.floors} if card.cost else {}
        for entry in card.rates:
            covering = _covering(
                agreement, model=card.model, service_tier=card.service_tier, unit=entry.unit
            )
            if not covering or entry.unit not in floors:
                continue
            if not _is_met(entry, card=card, served_in=served_in):
                continue
            percent = sum((Fraction(one.percent) for one in covering), Fraction(0))
            for listed, per in _listed(entry, card=card, book=book):
                rate = Fraction(listed) * MTOK / per
                after = rate * (100 - percent) / 100
                if after < floors[entry.unit]:
                    under = UnderFloor(
                        book_number=book.number,
                        model=card.model,
                        service_tier=card.service_tier,
                        unit=entry.unit,
                        rate_after_discounts=after,
                        floor=floors[entry.unit],
                    )
                    found.setdefault(under, (rate, covering))
    return found


def _is_met(entry: RateEntry, *, card: RateCard, served_in: ServedIn | None) -> bool:
    """Whether an account that is served there alone may meet a rate.

    A rate without a region is met in those regions that have no rate of their own in its place.
    """
    if served_in is None:
        return True
    if served_in.service_tiers and card.service_tier not in served_in.service_tiers:
        return False
    if not served_in.regions:
        return True
    if entry.when.region is not None:
        return entry.when.region in served_in.regions
    own = {other.when.shape for other in card.rates if other.unit == entry.unit}
    in_its_place = (
        entry.when.model_copy(update={"region": region}).shape for region in served_in.regions
    )
    return any(shape not in own for shape in in_its_place)


def _listed(
    entry: RateEntry, *, card: RateCard, book: PriceBook
) -> tuple[tuple[Decimal, int], ...]:
    """The rates of an entry, each with its per: one, or that of each band of its ladder.

    They are the lowest that usage may meet: times the factors below 1 that can hold together.
    """
    held = lowest_rate(entry, card=card, book=book).multipliers
    lowest = multiplied(entry, multipliers=held)
    if lowest.ladder is None:
        return ((lowest.plain_rate, entry.per),)
    return tuple((band.rate, band.per or entry.per) for band in lowest.ladder.ladder.bands)


def _percent_off(agreement: Agreement, *, model: str, service_tier: str, unit: str) -> Fraction:
    """What the discounts of an agreement together take off such a charge, in percent."""
    covering = _covering(agreement, model=model, service_tier=service_tier, unit=unit)
    return sum((Fraction(discount.percent) for discount in covering), Fraction(0))


def _covering(
    agreement: Agreement, *, model: str, service_tier: str, unit: str
) -> tuple[Discount, ...]:
    """The discounts of an agreement, of one month, that cover such a charge."""
    return tuple(
        discount
        for discount in agreement.discounts
        if discount.covers(model=model, service_tier=service_tier, unit=unit)
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
