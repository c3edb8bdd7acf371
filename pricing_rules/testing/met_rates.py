"""The rates of a book as requests meet them: what policy tests look at.

Invariant: every rate that some request can meet is among them, after its multipliers, by the same
match as a quote; a name that the book does not have is refused, so that no test passes for want
of anything to test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import product

from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.prices.conditions import When
from pricing_rules.prices.matching import MatchedRate
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import UnitFloor
from pricing_rules.prices.quote import CompiledBook, compile_book
from pricing_rules.rules.guard_rails import Bands
from pricing_rules.windows import DAY, NamedWindow, WindowClock, united_windows

MTOK = 1_000_000

SEEN_DAYS = 732
"""How far windows are looked at: two years, with their holidays and clock changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rates of a request depend on; ``size_tokens`` is the least of its size class."""

    region: str
    size_tokens: int
    dimensions: tuple[tuple[str, str], ...]
    moment_at: int


@dataclass(frozen=True, kw_only=True)
class MetRate:
    """The rate of one unit that some request meets, multipliers included."""

    book: PriceBook
    card: RateCard
    matched: MatchedRate

    @property
    def unit(self) -> str:
        """The unit that has the rate."""
        return self.matched.entry.unit

    @property
    def about(self) -> str:
        """``model/service_tier/unit``, with the conditions where there are some."""
        about = f"{self.card.model}/{self.card.service_tier}/{self.unit}"
        return f"{about}/{self.matched.when}" if self.matched.when else about

    @property
    def entry(self) -> RateEntry:
        """The rate as a book would write it, after its multipliers."""
        ladder = None if self.matched.ladder is None else self.matched.ladder.ladder
        sold = {"rate": self.matched.rate, "ladder": ladder}
        return self.matched.entry.model_copy(update=sold)

    @cached_property
    def bands(self) -> Bands:
        """Rates per million natural units by the upper bound of their band.

        A band with a cap has the least that a unit can come to in it.
        """
        entry = self.entry
        if entry.ladder is None:
            return ((None, Fraction(entry.rate or 0) * MTOK / entry.per),)
        found, lower = [], Fraction(0)
        for band in entry.ladder.bands:
            rate = Fraction(band.rate) * MTOK / (band.per or entry.per)
            if band.cap is not None:
                width = None if band.up_to is None else Fraction(band.up_to) - lower
                rate = min(rate, Fraction(band.cap) * MTOK / width if width else Fraction(0))
            found.append((band.up_to, rate))
            lower = Fraction(band.up_to or 0)
        return tuple(found)

    @property
    def lowest(self) -> Fraction:
        """The lowest rate per million natural units that some quantity can meet."""
        return min(rate for _, rate in self.bands)

    @property
    def unit_floor(self) -> UnitFloor | None:
        """What its floor was computed from; None where no measured cost stands behind it."""
        floors = self.card.cost.floors if self.card.cost else ()
        return next((floor for floor in floors if floor.unit == self.unit), None)


class BookRates:
    """A book ready to be looked through."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        self._compiled: CompiledBook = compile_book(book)

    def cards(
        self,
        *,
        models: Collection[str] = (),
        service_tiers: Collection[str] = (),
        units: Collection[str] = (),
    ) -> tuple[RateCard, ...]:
        """The rate cards of these models in these service tiers; none named, of all.

        DocumentError for a name that no card has, where no card has both, and for a unit without
        a rate on any of them.
        """
        for what, named, known in (
            ("models", models, {card.model for card in self.book.rate_cards}),
            ("service_tiers", service_tiers, {one.service_tier for one in self.book.rate_cards}),
        ):
            self._check_known(what, named=named, known=known)
        found = tuple(
            card
            for card in self.book.rate_cards
            if (not models or card.model in models)
            and (not service_tiers or card.service_tier in service_tiers)
        )
        if not found:
            raise DocumentError(self.where, "has no rate card of these models and service tiers")
        priced = {entry.unit for card in found for entry in card.rates}
        self._check_known("units", named=units, known=priced)
        return found

    def rates(
        self,
        *,
        models: Collection[str] = (),
        service_tiers: Collection[str] = (),
        units: Collection[str] = (),
    ) -> tuple[MetRate, ...]:
        """Every rate of these cards and units that some request meets, once, in order of the
        book.

        DocumentError for a name that the book does not have.
        """
        found: dict[tuple[str, str, str, str], MetRate] = {}
        for card in self.cards(models=models, service_tiers=service_tiers, units=units):
            for situation in situations([(self.book, card)]):
                for unit, rate in sorted(self.met(card, situation=situation).items()):
                    if not units or unit in units:
                        key = (card.model, card.service_tier, unit, rate.matched.when)
                        found.setdefault(key, rate)
        return tuple(found.values())

    def met(self, card: RateCard, *, situation: Situation) -> dict[str, MetRate]:
        """The rate of each unit that requests of a situation meet on a card of the book."""
        compiled = self._compiled.card(
            model=card.model,
            service_tier=card.service_tier,
            size_tokens=situation.size_tokens,
            region=situation.region,
            dimensions=dict(situation.dimensions),
            moment_at=situation.moment_at,
        )
        return {
            unit: MetRate(book=self.book, card=card, matched=matched)
            for unit, matched in compiled.rates.items()
        }

    @property
    def where(self) -> str:
        """The book by its series and number."""
        return f"{self.book.series} number {self.book.number}"

    def _check_known(self, what: str, *, named: Collection[str], known: Collection[str]) -> None:
        if isinstance(named, str):
            raise DocumentError(what, f'are a tuple of names; write ("{named}",)')
        for name in named:
            if name not in known:
                listed = ", ".join(sorted(known))
                raise DocumentError(self.where, f"has no {name} among its {what}: {listed}")


def situations(cards: Sequence[tuple[PriceBook, RateCard]]) -> Iterator[Situation]:
    """Every situation that some rate of one of these cards tells apart, the plainest first.

    Windows are looked at in the two years from the latest ``effective_from``.
    """
    whens = [when for book, card in cards for when in _conditions(book, card=card)]
    values: dict[str, set[str]] = {}
    for when in whens:
        for name, value in when.dimensions.items():
            values.setdefault(name, set()).add(value)
    named: list[list[tuple[tuple[str, str], ...]]] = [
        [(), *(((name, value),) for value in sorted(values[name]))] for name in sorted(values)
    ]
    dimensions = [tuple(pair for pairs in chosen for pair in pairs) for chosen in product(*named)]
    for moment_at, size_tokens, region, pairs in product(
        _moments(cards, names={when.window for when in whens}),
        sorted({0} | {when.threshold_tokens for when in whens}),
        sorted({""} | {when.region for when in whens if when.region}),
        dimensions,
    ):
        yield Situation(
            region=region, size_tokens=size_tokens, dimensions=pairs, moment_at=moment_at
        )


def thresholds_tokens(cards: Sequence[tuple[PriceBook, RateCard]]) -> tuple[int, ...]:
    """The request sizes at which some rate of these cards changes, sorted."""
    whens = (when for book, card in cards for when in _conditions(book, card=card))
    return tuple(sorted({when.threshold_tokens for when in whens} - {0}))


def _conditions(book: PriceBook, *, card: RateCard) -> Iterator[When]:
    yield from (entry.when for entry in card.rates)
    for multiplier in book.multipliers:
        if any(multiplier.concerns(entry.unit) for entry in card.rates):
            yield multiplier.when


def _moments(
    cards: Sequence[tuple[PriceBook, RateCard]], *, names: Collection[str | None]
) -> list[int]:
    """The first moment of each set of windows in force at once; without windows, one moment."""
    start_at = max(book.effective_from for book, _ in cards)
    named = (one for book, _ in cards for one in book.used_windows if one.name in names)
    windows = united_windows(named)
    return list(_first_moments(windows, start_at=start_at)) if windows else [start_at]


@lru_cache(maxsize=64)
def _first_moments(windows: tuple[NamedWindow, ...], *, start_at: int) -> tuple[int, ...]:
    """The first moment of each set of windows in force; kept, because properties ask often."""
    seen = Period(start_at=start_at, end_at=start_at + SEEN_DAYS * DAY)
    firsts: dict[tuple[str, ...], int] = {}
    for span in WindowClock(windows=windows).spans(seen):
        firsts.setdefault(span.keys, span.period.start_at)
    return tuple(firsts[keys] for keys in sorted(firsts))


def by_unit(rates: Mapping[str, MetRate], *, units: Collection[str]) -> Iterator[MetRate]:
    """The rates of these units, or of all where none is named, by name of unit."""
    for unit, rate in sorted(rates.items()):
        if not units or unit in units:
            yield rate
