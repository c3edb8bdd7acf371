"""The price book: a numbered set of rate cards that is published once and never edited.

Invariant: for any event at most one rate per unit matches (the most specific one, by a stated
order), no card falls back to another, and a book that carries a digest is the book that was
published.

Which rate of a unit is the most specific is said in ``conditions.py``; two rates of one unit with
the same conditions are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pricing_rules.document import (
    Document,
    DocumentError,
    Name,
    Text,
    content_digest,
    read_json,
    validate,
)
from pricing_rules.money import MAX_DECIMALS, MAX_DIGITS, CurrencyCode, RateText, decimal_text
from pricing_rules.period import CalendarCut, MomentText, Period
from pricing_rules.prices.allowances import Allowance, zones_clash
from pricing_rules.prices.conditions import MAX_TEXT, Multiplier, UnitName, When
from pricing_rules.prices.ladder import Ladder, Per
from pricing_rules.prices.provenance import (
    CardCost,
    ExchangeRate,
    Finding,
    InputDocument,
    RuleStep,
    SignOff,
)
from pricing_rules.usage.units import UNITS
from pricing_rules.windows import NamedWindow, Window, united_windows

__all__ = ["UnitName", "When"]  # where other rooms look for them

SCHEMA = "tokenworks.price-book/1"


class RateEntry(Document):
    """What one unit costs under one set of conditions: a rate per ``per``, or a ladder of rates.

    An explicit rate of "0" is free; a unit without any rate is unpriced.
    """

    unit: UnitName
    per: Per = 1_000_000
    rate: RateText | None = None
    ladder: Ladder | None = None
    when: When = When()
    steps: tuple[RuleStep, ...] = ()

    @model_validator(mode="after")
    def _rate_or_ladder(self) -> RateEntry:
        if (self.rate is None) == (self.ladder is None):
            raise ValueError("give the unit a rate or a ladder, one of them")
        scale = UNITS[self.unit].scale
        for i, band in enumerate(self.ladder.bands if self.ladder else ()):
            if band.up_to is not None and (Fraction(band.up_to) * scale).denominator != 1:
                raise ValueError(
                    f"ladder.bands[{i}] ends at {band.up_to}, and {self.unit} is counted in "
                    f"1/{scale}: no count ends there; round the bound"
                )
        return self


class RateCard(Document):
    """All rates of one model in one service tier.

    ``cost``: what its floors rest on; a card without measured cost says why in ``cost_none``.
    """

    model: Name
    service_tier: Name
    rates: Annotated[tuple[RateEntry, ...], Field(min_length=1)]
    cost: CardCost | None = None
    cost_none: Text | None = None

    @model_validator(mode="after")
    def _one_rate_per_condition(self) -> RateCard:
        seen: set[tuple[object, ...]] = set()
        for entry in self.rates:
            shape = (entry.unit, *entry.when.shape)
            if shape in seen:
                condition = f" when {entry.when.text()}" if entry.when.text() else ""
                raise ValueError(f"two rates of {entry.unit}{condition} on one card; keep one")
            seen.add(shape)
        return self

    def rates_for(
        self,
        *,
        region: str,
        size_tokens: int,
        dimensions: Mapping[str, str],
        windows: Collection[str] = (),
    ) -> dict[str, RateEntry]:
        """The rate of each unit that holds for such requests: the most specific one.

        ``windows``: the names of the book's windows in force. Multipliers are not in it: see
        ``matching.py``.
        """
        chosen: dict[str, RateEntry] = {}
        for entry in self.rates:
            if not entry.when.holds(
                region=region, size_tokens=size_tokens, dimensions=dimensions, windows=windows
            ):
                continue
            rival = chosen.get(entry.unit)
            if rival is None or entry.when.specificity() > rival.when.specificity():
                chosen[entry.unit] = entry
        return chosen


class Supersedes(Document):
    """Which earlier book a book with a past ``effective_from`` replaces, and why."""

    number: Annotated[int, Field(ge=1)]
    reason: Text


class PriceBook(Document):
    """A price book; a candidate has no ``published_at``. ``digest`` is that of its canonical JSON
    without it. ``exchange``: what its floors were converted at, where costs are in another
    currency. ``notice_days_at_least``: from publishing to ``effective_from``, for a book that
    follows another.
    """

    schema_: Literal["tokenworks.price-book/1"] = Field(alias="schema")
    series: Name
    number: Annotated[int, Field(ge=1, le=10**9)]
    currency: CurrencyCode
    exchange: ExchangeRate | None = None
    effective_from: MomentText
    published_at: MomentText | None = None
    notice_days_at_least: Annotated[int, Field(ge=1)] | None = None
    supersedes: Supersedes | None = None
    dimensions: dict[Name, tuple[Name, ...]] = {}
    windows: dict[Name, Window] = {}
    rate_cards: Annotated[tuple[RateCard, ...], Field(min_length=1)]
    allowances: tuple[Allowance, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    derived_from: tuple[InputDocument, ...] = ()
    findings: tuple[Finding, ...] = ()
    sign_offs: tuple[SignOff, ...] = ()
    digest: Name | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> PriceBook:
        if self.exchange is not None and self.exchange.currency != self.currency:
            raise ValueError(
                f"the exchange rate is to {self.exchange.currency}, and the book is in "
                f"{self.currency}; give the rate to {self.currency}"
            )
        reserved = sorted({"region", "request_tokens", "window"} & self.dimensions.keys())
        if reserved:
            raise ValueError(f'"{reserved[0]}" is no dimension of its own; rename it')
        cards: set[tuple[str, str]] = set()
        for card in self.rate_cards:
            if (card.model, card.service_tier) in cards:
                raise ValueError(f"two rate cards of {card.model} in {card.service_tier}; keep one")
            cards.add((card.model, card.service_tier))
        for when in self.conditions():
            _check_declared(self, when)
        _check_ladders(self)
        _check_multipliers(self)
        _check_allowances(self)
        return self

    def conditions(self) -> Iterator[When]:
        """The conditions of every rate and every multiplier."""
        for card in self.rate_cards:
            for entry in card.rates:
                yield entry.when
        for multiplier in self.multipliers:
            yield multiplier.when

    def card(self, *, model: str, service_tier: str) -> RateCard | None:
        """The rate card of a model in a service tier, or None: there are no fallbacks."""
        return self._cards.get((model, service_tier))

    @cached_property
    def _cards(self) -> dict[tuple[str, str], RateCard]:
        return {(card.model, card.service_tier): card for card in self.rate_cards}

    @property
    def thresholds_tokens(self) -> tuple[int, ...]:
        """The request sizes at which some rate changes, sorted."""
        return tuple(sorted({when.threshold_tokens for when in self.conditions()} - {0}))

    @cached_property
    def used_windows(self) -> tuple[NamedWindow, ...]:
        """The windows that a rate or a multiplier names, by key: those that usage is cut by."""
        names = {when.window for when in self.conditions() if when.window is not None}
        return united_windows(
            NamedWindow(name=name, window=self.windows[name]) for name in sorted(names)
        )

    @property
    def calendar_cuts(self) -> tuple[CalendarCut, ...]:
        """The days and months with which some allowance starts anew, sorted."""
        cuts = {one.cut for one in self.allowances}
        return tuple(sorted(cut for cut in cuts if cut is not None))


def load_price_book(data: bytes, *, name: str) -> PriceBook:
    """Read a price book, checking its digest where it carries one; the result always has one.

    DocumentError where it does not validate, was edited after it was published, or holds what
    this version cannot rate (ladders of payer scope), named with its place.
    """
    value = read_json(data, name=name)
    book = validate(PriceBook, value, name=name, lines={})
    value.pop("digest", None)
    digest = content_digest(value)
    if book.digest not in (None, digest):
        raise DocumentError(
            f"{name} digest", "the book was edited after it was published; restore it"
        )
    _refuse_unrated(book, name=name)
    return book.model_copy(update={"digest": digest})


def _check_declared(book: PriceBook, when: When) -> None:
    for name, value in when.dimensions.items():
        if name not in book.dimensions:
            raise ValueError(f'the dimension "{name}" is not declared under dimensions')
        if value not in book.dimensions[name]:
            raise ValueError(f'"{value}" is not a declared value of the dimension "{name}"')
    if when.window is not None and when.window not in book.windows:
        raise ValueError(f'the window "{when.window}" is not declared under windows')


def _check_ladders(book: PriceBook) -> None:
    ladders: dict[str, tuple[object, ...]] = {}
    scales: dict[str, int] = {}
    for entry in (entry for card in book.rate_cards for entry in card.rates):
        if entry.ladder is None:
            continue
        shape, scale = _ladder_shape(entry.ladder), UNITS[entry.unit].scale
        if ladders.setdefault(entry.ladder.id, shape) != shape:
            raise ValueError(
                f"the ladder {entry.ladder.id} stands twice with other bounds, flats "
                "or settings; one id is one position, so give the second another id"
            )
        if scales.setdefault(entry.ladder.id, scale) != scale:
            raise ValueError(
                f"the ladder {entry.ladder.id} counts {entry.unit} and units of "
                "another scale in one position; give one of them another id"
            )


def _check_multipliers(book: PriceBook) -> None:
    ids: set[str] = set()
    for multiplier in book.multipliers:
        if multiplier.id in ids:
            raise ValueError(f"the multiplier {multiplier.id} stands twice; keep one")
        ids.add(multiplier.id)
    for entry in (entry for card in book.rate_cards for entry in card.rates):
        factors = [m.factor for m in book.multipliers if m.concerns(entry.unit)]
        rates = [b.rate for b in entry.ladder.bands] if entry.ladder else [entry.rate or Decimal(0)]
        decimals = max(_decimals(rate) for rate in rates) + sum(_decimals(f) for f in factors)
        largest = max(Fraction(rate) for rate in rates)
        for factor in factors:
            largest *= max(Fraction(factor), Fraction(1))
        texts = [entry.when.text(), *(m.text() for m in book.multipliers if m.concerns(entry.unit))]
        if len(", ".join(texts)) > MAX_TEXT:
            raise ValueError(
                f"the conditions of a rate of {entry.unit} and its multipliers have more than "
                f"{MAX_TEXT} characters together, which no charge can show; shorten their names"
            )
        if factors and (decimals > MAX_DECIMALS or largest >= 10**MAX_DIGITS):
            raise ValueError(
                f"a rate of {entry.unit} times its multipliers has more digits than a rate may "
                f"have ({MAX_DIGITS} before and {MAX_DECIMALS} after the point); round them"
            )


def _decimals(value: Decimal) -> int:
    return len(decimal_text(value).partition(".")[2])


def _check_allowances(book: PriceBook) -> None:
    ids: set[str] = set()
    for allowance in book.allowances:
        if allowance.id in ids:
            raise ValueError(f"the allowance {allowance.id} stands twice; keep one")
        ids.add(allowance.id)
        if not any(
            allowance.covers(model=card.model, service_tier=card.service_tier, unit=entry.unit)
            for card in book.rate_cards
            for entry in card.rates
        ):
            raise ValueError(
                f"the allowance {allowance.id} covers no rate of the book; check its names"
            )
    rates = ((c.model, c.service_tier, entry.unit) for c in book.rate_cards for entry in c.rates)
    if clash := zones_clash(book.allowances, rates=rates):
        raise ValueError(clash)


def _ladder_shape(ladder: Ladder) -> tuple[object, ...]:
    # A flat amount is due once for the position: of two, the order of units would choose one.
    bands = tuple((band.up_to, band.flat) for band in ladder.bands)
    settings = (ladder.bounds, ladder.flat_at_zero, ladder.past_last_band)
    return (ladder.kind, ladder.scope, ladder.reset, settings, bands)


def _refuse_unrated(book: PriceBook, *, name: str) -> None:
    for i, card in enumerate(book.rate_cards):
        for j, entry in enumerate(card.rates):
            if entry.ladder is not None and entry.ladder.scope == "payer":
                raise DocumentError(
                    f"{name} rate_cards[{i}].rates[{j}].ladder.scope",
                    "payer scope is not rated by this version; write plain rates",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksInForce:
    """The books of one series, so that a moment has at most one: the latest ``effective_from``
    not after it.

    Of two books with one ``effective_from`` the later number is in force, and must say that it
    supersedes.
    """

    books: tuple[PriceBook, ...]

    def __post_init__(self) -> None:
        if not self.books:
            raise DocumentError("price books", "there are none; give at least one")
        first = self.books[0]
        numbers: set[int] = set()
        starts: dict[int, PriceBook] = {}
        for book in sorted(self.books, key=lambda b: b.number):
            if (book.series, book.currency) != (first.series, first.currency):
                raise DocumentError(
                    "price books",
                    f"{first.series} in {first.currency} and {book.series} in {book.currency} do "
                    "not mix; give the books of one series",
                )
            if book.number in numbers:
                raise DocumentError("price books", f"number {book.number} stands twice; keep one")
            numbers.add(book.number)
            rival = starts.get(book.effective_from)
            if rival is not None and (
                book.supersedes is None or book.supersedes.number != rival.number
            ):
                raise DocumentError(
                    "price books",
                    f"number {rival.number} and number {book.number} have one effective_from, and "
                    "neither supersedes the other",
                )
            starts[book.effective_from] = book

    @property
    def currency(self) -> str:
        """The currency of every book."""
        return self.books[0].currency

    @property
    def calendar_cuts(self) -> tuple[CalendarCut, ...]:
        """The days and months with which some allowance of some book starts anew, sorted."""
        return tuple(sorted({cut for book in self.books for cut in book.calendar_cuts}))

    def allowances_since_at(self, period: Period) -> int:
        """From when on usage counts for the allowances of a period: its start, or before it that
        of the day or month in which it starts.
        """
        starts = (cut.start_at(period.start_at) for cut in self.calendar_cuts)
        return min([period.start_at, *starts])

    def at(self, moment_at: int) -> PriceBook | None:
        """The book in force at a moment, or None before the first."""
        ready = [book for book in self.books if book.effective_from <= moment_at]
        return max(ready, key=lambda b: (b.effective_from, b.number)) if ready else None
