"""Two published books of one series: what was passed on, how old measurements were, what that cost.

Invariant: rates and costs are compared card by card, on one request shape and in one currency; a
card that cannot be compared says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.period import MICROSECONDS
from pricing_rules.planning.efficiency import TokenCounts
from pricing_rules.planning.iteration import DatedTokens, cycle_time_days, pass_through
from pricing_rules.prices.price_book import PriceBook, RateCard, When
from pricing_rules.prices.provenance import CardCost

_DAY_MICROSECONDS = 86_400 * MICROSECONDS

CardName = tuple[str, str]
"""A model and a service tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateAndCost:
    """Rate and unit cost (at 100 % busy) of a million tokens of one request shape."""

    rate_per_mtok: float
    unit_cost_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRevision:
    """One card in two books, in their currency.

    ``pass_through`` is None where ``reason`` says why. ``cycle_days`` is the age of the new card's
    measurements when it took effect, None where none has a date. ``staleness``: what the old floors
    would ask over the new ones for the tokens that were given; under 0, what they would lose; None
    where no tokens were given or a floor is missing.
    """

    model: str
    service_tier: str
    old: RateAndCost | None
    new: RateAndCost | None
    pass_through: float | None
    reason: str | None
    cycle_days: float | None
    staleness: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRevision:
    """What happened between two books; ``cycle_days`` is over all cards, weighted by tokens."""

    cards: tuple[CardRevision, ...]
    cycle_days: float | None


def revise(
    old: PriceBook, *, new: PriceBook, tokens: Mapping[CardName, TokenCounts]
) -> BookRevision:
    """Compare two books of one series and currency.

    ``tokens``: what was sold by card, which weighs the cycle time and is what staleness is counted
    on; where no card of the new book has any, each card counts alike. DocumentError for books of
    two series or currencies, or in the wrong order.
    """
    if (old.series, old.currency) != (new.series, new.currency):
        raise DocumentError(
            "--books",
            f"{old.series} in {old.currency} and {new.series} in {new.currency} are not books of "
            "one series and currency",
        )
    if old.effective_from >= new.effective_from:
        raise DocumentError("--books", "the first book must take effect before the second")
    names = [(card.model, card.service_tier) for card in new.rate_cards]
    alike = not any(name in tokens for name in names)
    cards: list[CardRevision] = []
    ages: list[DatedTokens] = []
    for name, card in zip(names, new.rate_cards, strict=True):
        own = list(_ages(card, effective_from=new.effective_from))
        weight = 1.0 if alike else float(_total(tokens.get(name)))
        ages += [DatedTokens(days=one.days, tokens=one.tokens * weight) for one in own]
        before = old.card(model=card.model, service_tier=card.service_tier)
        cards.append(_revised(card, before=before, ages=own, counts=tokens.get(name)))
    return BookRevision(
        cards=tuple(cards),
        cycle_days=cycle_time_days(ages) if any(one.tokens > 0 for one in ages) else None,
    )


def _revised(
    card: RateCard, *, before: RateCard | None, ages: list[DatedTokens], counts: TokenCounts | None
) -> CardRevision:
    shape = card.cost
    new = _of_shape(card, shape=shape)
    old = _of_shape(before, shape=shape) if before else None
    share, reason = _passed_on(old, new=new, is_new=before is None)
    return CardRevision(
        model=card.model,
        service_tier=card.service_tier,
        old=old,
        new=new,
        pass_through=share,
        reason=reason,
        cycle_days=cycle_time_days(ages) if ages else None,
        staleness=_staleness(card, before=before, counts=counts),
    )


def _passed_on(
    old: RateAndCost | None, *, new: RateAndCost | None, is_new: bool
) -> tuple[float | None, str | None]:
    if is_new:
        return None, "the first book has no such card"
    if old is None or new is None:
        return None, "a card has no measured cost, or no plain rate of input and output"
    if min(old.rate_per_mtok, new.rate_per_mtok) <= 0:
        return None, "a rate is free"
    if old.unit_cost_per_mtok == new.unit_cost_per_mtok:
        return None, "the cost did not change"
    share = pass_through(
        old.rate_per_mtok,
        new_rate=new.rate_per_mtok,
        old_cost_per_mtok=old.unit_cost_per_mtok,
        new_cost_per_mtok=new.unit_cost_per_mtok,
    )
    return share, None


def _of_shape(card: RateCard, *, shape: CardCost | None) -> RateAndCost | None:
    """Rate and cost of a card at the reference shape of the new one; None where one is missing."""
    if shape is None or card.cost is None:
        return None
    tokens = {
        "input_tokens": shape.reference_input_tokens,
        "output_tokens": shape.reference_output_tokens,
    }
    rates = {
        entry.unit: Fraction(entry.rate) * 1_000_000 / entry.per
        for entry in card.rates
        if entry.rate is not None and entry.when == When()
    }
    costs = {floor.unit: floor.unit_cost_per_mtok for floor in card.cost.floors}
    if not tokens.keys() <= rates.keys() & costs.keys():
        return None
    total = sum(tokens.values())
    return RateAndCost(
        rate_per_mtok=float(sum(rates[unit] * number for unit, number in tokens.items()) / total),
        unit_cost_per_mtok=float(
            sum(Fraction(costs[unit]) * number for unit, number in tokens.items()) / total
        ),
    )


def _ages(card: RateCard, *, effective_from: int) -> Iterator[DatedTokens]:
    """Ages of the card's dated measurements in days, weighted as its cost rests on them."""
    if card.cost is None:
        return
    for hardware in card.cost.hardware:
        for shape in hardware.shapes:
            for point in shape.points:
                measured = point.source.measured_date
                if measured is None:
                    continue
                days = date.fromisoformat(measured).toordinal() - date(1970, 1, 1).toordinal()
                weight = float(hardware.share_of_capacity) / len(hardware.shapes)
                yield DatedTokens(
                    days=effective_from / _DAY_MICROSECONDS - days,
                    tokens=weight * float(point.weight),
                )


def _staleness(
    card: RateCard, *, before: RateCard | None, counts: TokenCounts | None
) -> float | None:
    if counts is None or before is None or before.cost is None or card.cost is None:
        return None
    sold = {
        "input_tokens": counts.fresh_input_tokens,
        "cache_read_tokens": counts.cache_read_tokens,
        "output_tokens": counts.output_tokens,
    }
    was = {floor.unit: Fraction(floor.floor) for floor in before.cost.floors}
    now = {floor.unit: Fraction(floor.floor) for floor in card.cost.floors}
    if not {unit for unit, number in sold.items() if number} <= was.keys() & now.keys():
        return None
    asked = sum((was[unit] - now[unit]) * number for unit, number in sold.items() if number)
    return float(asked / 1_000_000)


def _total(counts: TokenCounts | None) -> int:
    if counts is None:
        return 0
    return counts.fresh_input_tokens + counts.cache_read_tokens + counts.output_tokens
