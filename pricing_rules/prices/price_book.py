"""The price book: a numbered set of rate cards that is published once and never edited.

Invariant: for any event at most one rate per unit matches (the most specific one, by a stated
order), no card falls back to another, and a book that carries a digest is the book that was
published.

Which rate of a unit is the most specific: the one whose ``when`` names the most conditions; among
equals the one that names a declared dimension (dimensions by name), then the one that names the
region, then the one with the larger request size. Two rates of one unit with the same conditions
are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import (
    Document,
    DocumentError,
    Name,
    Text,
    content_digest,
    read_json,
    validate,
)
from pricing_rules.money import CurrencyCode, RateText
from pricing_rules.period import MomentText
from pricing_rules.prices.ladder import Ladder, Per
from pricing_rules.prices.provenance import (
    CardCost,
    ExchangeRate,
    Finding,
    InputDocument,
    RuleStep,
    SignOff,
)
from pricing_rules.usage.units import MAX_COUNT, UNITS

SCHEMA = "tokenworks.price-book/1"

Threshold = Annotated[int, Field(ge=0, le=MAX_COUNT)]


def _known_unit(name: str) -> str:
    if name not in UNITS:
        raise ValueError(f'"{name:.60}" is not a unit; see the unit registry')
    return name


UnitName = Annotated[str, AfterValidator(_known_unit)]


class Window(Document):
    """A recurring window of time (in the schema; not rated by this version)."""

    zone: Name
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = ()
    start_time: Name
    end_time: Name
    holidays: Name | None = None


class Allowance(Document):
    """Free quantity that several rates share in a period (in the schema; not rated by this
    version).
    """

    id: Name
    units: tuple[UnitName, ...]
    models: tuple[Name, ...] = ()
    quantity: Annotated[int, Field(ge=1)]
    reset: Literal["billing_period", "day", "month"] = "billing_period"


class When(Document):
    """The conditions of a rate; all that are named must hold.

    ``request_tokens_over`` holds strictly over a request size, ``request_tokens_at_least`` at it
    and over.
    """

    region: Name | None = None
    request_tokens_over: Threshold | None = None
    request_tokens_at_least: Threshold | None = None
    dimensions: dict[Name, Name] = {}
    window: Window | None = None

    @model_validator(mode="after")
    def _one_threshold(self) -> When:
        if self.request_tokens_over is not None and self.request_tokens_at_least is not None:
            raise ValueError("name request_tokens_over or request_tokens_at_least, not both")
        return self

    @property
    def threshold_tokens(self) -> int:
        """The request size from which the rate applies (``>=``); 0 where none is named."""
        if self.request_tokens_over is not None:
            return self.request_tokens_over + 1
        return self.request_tokens_at_least or 0

    def holds(self, *, region: str, size_tokens: int, dimensions: Mapping[str, str]) -> bool:
        """Whether every condition holds for a request of this region, size and dimensions."""
        return (
            (self.region is None or self.region == region)
            and size_tokens >= self.threshold_tokens
            and all(dimensions.get(name) == value for name, value in self.dimensions.items())
        )

    def specificity(self) -> tuple[int, tuple[str, ...], bool, int]:
        """Larger is more specific; see the file's first lines for the order."""
        named = len(self.dimensions) + (self.region is not None) + (self.threshold_tokens > 0)
        # Earlier names win: each name is turned around so that "a" sorts above "b".
        turned = tuple(
            "".join(chr(0x10FFFF - ord(c)) for c in name) + chr(0x10FFFF)
            for name in sorted(self.dimensions)
        )
        return named, turned, self.region is not None, self.threshold_tokens

    def text(self) -> str:
        """The conditions as people read them, empty where there are none."""
        parts = [f"{name}={value}" for name, value in sorted(self.dimensions.items())]
        if self.region is not None:
            parts.append(f"region={self.region}")
        if self.request_tokens_over is not None:
            parts.append(f"request_tokens>{self.request_tokens_over}")
        elif self.request_tokens_at_least is not None:
            parts.append(f"request_tokens>={self.request_tokens_at_least}")
        return " and ".join(parts)


class Multiplier(Document):
    """A factor on rates (in the schema; not rated by this version)."""

    factor: RateText
    when: When
    units: tuple[UnitName, ...] = ()


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
            when = entry.when
            shape = (
                entry.unit,
                when.region,
                when.threshold_tokens,
                *sorted(when.dimensions.items()),
            )
            if shape in seen:
                condition = f" when {when.text()}" if when.text() else ""
                raise ValueError(f"two rates of {entry.unit}{condition} on one card; keep one")
            seen.add(shape)
        return self

    def rates_for(
        self, *, region: str, size_tokens: int, dimensions: Mapping[str, str]
    ) -> dict[str, RateEntry]:
        """The rate of each unit that holds for such requests: the most specific one."""
        chosen: dict[str, RateEntry] = {}
        for entry in self.rates:
            if not entry.when.holds(region=region, size_tokens=size_tokens, dimensions=dimensions):
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
    currency.
    """

    schema_: Literal["tokenworks.price-book/1"] = Field(alias="schema")
    series: Name
    number: Annotated[int, Field(ge=1, le=10**9)]
    currency: CurrencyCode
    exchange: ExchangeRate | None = None
    effective_from: MomentText
    published_at: MomentText | None = None
    supersedes: Supersedes | None = None
    dimensions: dict[Name, tuple[Name, ...]] = {}
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
        reserved = sorted({"region", "request_tokens"} & self.dimensions.keys())
        if reserved:
            raise ValueError(f'"{reserved[0]}" is no dimension of its own; rename it')
        cards: set[tuple[str, str]] = set()
        for card in self.rate_cards:
            if (card.model, card.service_tier) in cards:
                raise ValueError(f"two rate cards of {card.model} in {card.service_tier}; keep one")
            cards.add((card.model, card.service_tier))
        ladders: dict[str, tuple[object, ...]] = {}
        scales: dict[str, int] = {}
        for card in self.rate_cards:
            for entry in card.rates:
                _check_dimensions(self, entry.when)
                if entry.ladder is not None:
                    shape = _ladder_shape(entry.ladder)
                    if ladders.setdefault(entry.ladder.id, shape) != shape:
                        raise ValueError(
                            f"the ladder {entry.ladder.id} stands twice with other bounds, flats "
                            "or settings; one id is one position, so give the second another id"
                        )
                    scale = UNITS[entry.unit].scale
                    if scales.setdefault(entry.ladder.id, scale) != scale:
                        raise ValueError(
                            f"the ladder {entry.ladder.id} counts {entry.unit} and units of "
                            "another scale in one position; give one of them another id"
                        )
        return self

    def card(self, *, model: str, service_tier: str) -> RateCard | None:
        """The rate card of a model in a service tier, or None: there are no fallbacks."""
        return self._cards.get((model, service_tier))

    @cached_property
    def _cards(self) -> dict[tuple[str, str], RateCard]:
        return {(card.model, card.service_tier): card for card in self.rate_cards}

    @property
    def thresholds_tokens(self) -> tuple[int, ...]:
        """The request sizes at which some rate changes, sorted."""
        found = {entry.when.threshold_tokens for card in self.rate_cards for entry in card.rates}
        return tuple(sorted(found - {0}))


def load_price_book(data: bytes, *, name: str) -> PriceBook:
    """Read a price book, checking its digest where it carries one; the result always has one.

    DocumentError where it does not validate, was edited after it was published, or holds what
    this version cannot rate (recurring windows, shared allowances, multipliers, payer scope),
    named with its place.
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


def _check_dimensions(book: PriceBook, when: When) -> None:
    for name, value in when.dimensions.items():
        if name not in book.dimensions:
            raise ValueError(f'the dimension "{name}" is not declared under dimensions')
        if value not in book.dimensions[name]:
            raise ValueError(f'"{value}" is not a declared value of the dimension "{name}"')


def _ladder_shape(ladder: Ladder) -> tuple[object, ...]:
    # A flat amount is due once for the position: of two, the order of units would choose one.
    bands = tuple((band.up_to, band.flat) for band in ladder.bands)
    settings = (ladder.bounds, ladder.flat_at_zero, ladder.past_last_band)
    return (ladder.kind, ladder.scope, ladder.reset, settings, bands)


def _refuse_unrated(book: PriceBook, *, name: str) -> None:
    found: str | None = None
    if book.allowances:
        found = "allowances[0]: shared allowances are"
    elif book.multipliers:
        found = "multipliers[0]: multipliers are"
    for i, card in enumerate(book.rate_cards):
        for j, entry in enumerate(card.rates):
            at = f"rate_cards[{i}].rates[{j}]"
            if entry.when.window is not None:
                found = f"{at}.when.window: recurring windows are"
            elif entry.ladder is not None and entry.ladder.scope == "payer":
                found = f"{at}.ladder.scope: payer scope is"
    if found:
        where, _, what = found.partition(": ")
        raise DocumentError(
            f"{name} {where}", f"{what} not rated by this version; write plain rates"
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

    def at(self, moment_at: int) -> PriceBook | None:
        """The book in force at a moment, or None before the first."""
        ready = [book for book in self.books if book.effective_from <= moment_at]
        return max(ready, key=lambda b: (b.effective_from, b.number)) if ready else None
