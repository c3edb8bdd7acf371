"""Matching: which rate of a card each unit takes under given conditions, times its multipliers.

Invariant: the most specific rate is found first and every multiplier that holds then multiplies it,
exactly; the text that a charge shows as its condition finds both again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from pricing_rules.prices.conditions import Multiplier
from pricing_rules.prices.ladder import Ladder, Rungs
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry

_EXACT = Context(prec=1000)
"""More digits than any product of rates and factors that a book may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedLadder:
    """A ladder with its rates after multipliers, and ready to compute."""

    ladder: Ladder
    rungs: Rungs


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedRate:
    """The rate of one unit: what the card says, and what it is after ``multipliers``.

    ``rate`` or ``ladder`` is that of the entry times every factor; a ladder keeps its bounds, flat
    amounts and caps. ``when``: the conditions and the factors as a charge shows them.
    """

    entry: RateEntry
    multipliers: tuple[Multiplier, ...]
    rate: Decimal | None
    ladder: MatchedLadder | None
    when: str

    @property
    def plain_rate(self) -> Decimal:
        """The rate, where no ladder prices the unit."""
        if self.rate is None:
            raise AssertionError("a rate entry has a rate or a ladder")
        return self.rate


def match_rates(
    book: PriceBook,
    *,
    card: RateCard,
    region: str,
    size_tokens: int,
    dimensions: Mapping[str, str],
    windows: Collection[str],
) -> dict[str, MatchedRate]:
    """The rate of each unit of a card that holds for such requests.

    ``windows``: the names of the book's windows in force.
    """
    entries = card.rates_for(
        region=region, size_tokens=size_tokens, dimensions=dimensions, windows=windows
    )
    held = [
        multiplier
        for multiplier in book.multipliers
        if multiplier.when.holds(
            region=region, size_tokens=size_tokens, dimensions=dimensions, windows=windows
        )
    ]
    return {
        unit: multiplied(entry, multipliers=[m for m in held if m.concerns(unit)])
        for unit, entry in entries.items()
    }


def multiplied(entry: RateEntry, *, multipliers: Sequence[Multiplier]) -> MatchedRate:
    """A rate times the factors of multipliers, in the order given."""
    factor = Decimal(1)
    for multiplier in multipliers:
        factor = _EXACT.multiply(factor, multiplier.factor)
    rate = entry.rate
    if multipliers and rate is not None:
        rate = _EXACT.multiply(rate, factor)
    texts = [entry.when.text(), *(multiplier.text() for multiplier in multipliers)]
    return MatchedRate(
        entry=entry,
        multipliers=tuple(multipliers),
        rate=rate,
        ladder=None if entry.ladder is None else _ladder(entry.ladder, entry=entry, factor=factor),
        when=", ".join(text for text in texts if text),
    )


def _ladder(ladder: Ladder, *, entry: RateEntry, factor: Decimal) -> MatchedLadder:
    if factor != 1:
        bands = tuple(
            band.model_copy(update={"rate": _EXACT.multiply(band.rate, factor)})
            for band in ladder.bands
        )
        ladder = ladder.model_copy(update={"bands": bands})
    return MatchedLadder(ladder=ladder, rungs=ladder.rungs(per=entry.per))


def matched_as(book: PriceBook, *, card: RateCard, unit: str, when: str) -> MatchedRate | None:
    """The rate that a charge shows with this condition; None where it names an allowance."""
    concerned = [multiplier for multiplier in book.multipliers if multiplier.concerns(unit)]
    for entry in card.rates:
        if entry.unit != unit:
            continue
        own = entry.when.text()
        rest = when.removeprefix(own).removeprefix(", ") if own else when
        if not when.startswith(own):
            continue
        held: list[Multiplier] = []
        for multiplier in concerned:
            text = multiplier.text()
            if rest == text or rest.startswith(f"{text}, "):
                held.append(multiplier)
                rest = rest.removeprefix(text).removeprefix(", ")
        if not rest:
            return multiplied(entry, multipliers=held)
    return None


def windows_of(book: PriceBook, *, keys: Collection[str]) -> frozenset[str]:
    """The names of a book's windows in force, by the keys of a cell."""
    if not keys:
        return frozenset()
    return frozenset(one.name for one in book.used_windows if one.key in keys)


def no_card_reason(book: PriceBook, *, model: str, service_tier: str) -> str:
    """Why usage of a model is unpriced where the book has no rate card of it."""
    return f"book {book.number} has no rate card of {model} in {service_tier}"


def no_rate_reason(book: PriceBook, *, leaf: str) -> str:
    """Why a leaf is unpriced where no rate of its card covers it."""
    return f"book {book.number} has no rate for {leaf} under these conditions"
