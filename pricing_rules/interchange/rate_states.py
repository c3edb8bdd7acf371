"""States and their rates: what a format says for each kind of request, as rates with conditions.

Invariant: for a request of any given state, the rates that come out price each unit as the state
that went in; a state writes a rate only where more general ones would give another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pydantic import ValidationError

from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import RateEntry, When
from pricing_rules.usage.units import UNITS, nearest_priced

Rates = Mapping[str, Fraction]
"""What one natural unit of each priced unit costs, exactly, in the currency of the book."""

PER_MILLION = frozenset({"tokens", "characters"})
"""Families of units whose rates are written per million; those of all others per one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One kind of request: the conditions that a rate may name, all of which hold.

    ``threshold_tokens``: a request size from which (``>=``) the state holds, 0 for every size;
    ``inclusive``: whether its format states it so, and not as strictly over one token less.
    """

    threshold_tokens: int = 0
    inclusive: bool = False
    window: str | None = None
    region: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()

    def when(self) -> When:
        """The state as the conditions of a rate."""
        over = at_least = None
        if self.threshold_tokens and self.inclusive:
            at_least = self.threshold_tokens
        elif self.threshold_tokens:
            over = self.threshold_tokens - 1
        return When(
            region=self.region,
            request_tokens_over=over,
            request_tokens_at_least=at_least,
            dimensions=dict(self.dimensions),
            window=self.window,
        )

    def within(self, other: State) -> bool:
        """Whether every request of this state is also one of ``other``."""
        return (
            self.threshold_tokens >= other.threshold_tokens
            and other.window in (None, self.window)
            and other.region in (None, self.region)
            and set(other.dimensions) <= set(self.dimensions)
        )


EVERY = State()
"""The state of every request."""


def over(tokens: int) -> State:
    """The state of requests strictly over a size."""
    return State(threshold_tokens=tokens + 1)


def default_per(unit: str) -> int:
    """How many of a unit a written rate is for: a million tokens or characters, one of all else."""
    words = UNITS[unit].dimensions
    return 1_000_000 if any(f"family={name}" in words for name in PER_MILLION) else 1


def rate_entries(
    states: Mapping[State, Rates], *, per: Callable[[str], int] = default_per
) -> tuple[RateEntry, ...]:
    """The rates of a card that price each state as given, in order of unit and of specificity.

    The states must be closed: where two hold for one request, so does one that names the
    conditions of both. A unit that a special state does not price, and a general one does, takes
    the rate of its nearest priced ancestor, written out. InexpressibleError where it has none, or
    where a rate has more digits than a book holds.
    """
    ordered = sorted(
        ((state.when(), state, rates) for state, rates in states.items()),
        key=lambda one: one[0].specificity(),
    )
    chosen: dict[str, list[tuple[State, RateEntry, Fraction]]] = {}
    for when, state, rates in ordered:
        wanted = dict(rates)
        for unit, before in chosen.items():
            if unit not in wanted and any(state.within(general) for general, _, _ in before):
                wanted[unit] = _inherited(unit, rates)
        for unit, rate in wanted.items():
            written = chosen.setdefault(unit, [])
            # The last one that holds is the most specific: they stand in order.
            holding = next(
                (r for general, _, r in reversed(written) if state.within(general)), None
            )
            if holding != rate:
                entry = rate_entry(unit, rate=rate, per=per(unit), when=when)
                written.append((state, entry, rate))
    return tuple(entry for unit in chosen for _, entry, _ in chosen[unit])


def rate_entry(unit: str, *, rate: Fraction, per: int, when: When) -> RateEntry:
    """One rate of a book, from what one natural unit costs."""
    text = exact_text(rate * per)
    try:
        return RateEntry(unit=unit, per=per, rate=text, when=when)  # type: ignore[arg-type]
    except ValidationError:
        raise InexpressibleError(
            "a rate of more digits than a book holds", detail=f"{unit}: {text:.60} per {per}"
        ) from None


def plain_rate(entry: RateEntry) -> Decimal:
    """The rate of an entry that has no ladder."""
    if entry.rate is None:
        raise AssertionError("an export refuses a book with ladders before it asks for rates")
    return entry.rate


def unit_rate(entry: RateEntry) -> Fraction:
    """What one natural unit costs at a rate that is no ladder."""
    return Fraction(plain_rate(entry)) / entry.per


def _inherited(unit: str, rates: Rates) -> Fraction:
    try:
        nearest = nearest_priced(unit, priced=rates.keys())
    except LookupError as error:
        raise InexpressibleError("a unit that two rates claim", detail=str(error)) from None
    if nearest is None:
        raise InexpressibleError(
            "a unit that loses its rate under some conditions", detail=f"{unit} has none there"
        )
    return rates[nearest]
