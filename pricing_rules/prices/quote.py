"""The quote: one request priced in integers at a fixed scale, under one compiled price book.

Invariant: a quote equals the exact path, which is ``rate_totals`` of one completed event of this
request with every ladder at position 0 and no allowance: what the request costs an account that has
used up what is free. Where the exact path has anything unpriced, the quote is a QuoteError with the
same reason, and never an amount.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from pricing_rules.document import Document, Name
from pricing_rules.period import MomentText, moment_text
from pricing_rules.prices.compiled_card import CompiledCard, QuoteError, compile_rates
from pricing_rules.prices.matching import match_rates, no_card_reason
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.usage.units import MAX_COUNT, UNIT_COUNTS_SCHEMA, scaled_count
from pricing_rules.windows import WindowClock

__all__ = ["CompiledCard", "QuoteError"]  # what a quote gives

_NO_DIMENSIONS: Mapping[str, str] = MappingProxyType({})


def _scaled_counts(counts: object) -> dict[str, int]:
    if not isinstance(counts, dict):
        raise ValueError('must be an object such as {"input_tokens": 1200}')
    return {str(name): scaled_count(str(name), count=count) for name, count in counts.items()}


class QuoteRequest(Document):
    """One request: inclusive counts by unit name, and what its rates depend on.

    ``at`` is its price moment; a request without one is priced as if the book were in force, and
    refused where its card depends on recurring windows.
    ``request_tokens`` (the size that context steps look at) defaults to the input tokens.
    """

    model: Name
    service_tier: Name
    region: Name | Literal[""] = ""
    at: MomentText | None = None
    dimensions: dict[Name, Name] = {}
    units: Annotated[
        dict[str, int], BeforeValidator(_scaled_counts), WithJsonSchema(UNIT_COUNTS_SCHEMA)
    ]
    request_tokens: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None

    @property
    def size_tokens(self) -> int:
        """The request's size: ``request_tokens`` where given, else the input tokens."""
        if self.request_tokens is not None:
            return self.request_tokens
        return self.units.get("input_tokens", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conditions:
    """What the rates of one card look at, so that requests alike in it share a CompiledCard.

    ``clock``: the windows that it names, None where it names none; ``names``: theirs by key.
    """

    card: RateCard
    thresholds_tokens: tuple[int, ...]
    regions: frozenset[str]
    dimensions: frozenset[tuple[str, str]]
    clock: WindowClock | None
    names: Mapping[str, str]
    compiled: dict[object, CompiledCard]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBook:
    """A price book ready to quote; cards are compiled when they are first asked for, and kept."""

    book: PriceBook
    _conditions: Mapping[tuple[str, str], _Conditions]

    def card(
        self,
        *,
        model: str,
        service_tier: str,
        size_tokens: int,
        region: str = "",
        dimensions: Mapping[str, str] = _NO_DIMENSIONS,
        moment_at: int | None = None,
    ) -> CompiledCard:
        """The rates for requests of these conditions.

        QuoteError where the book has no card, and where the card depends on recurring windows and
        the moment is not given.
        """
        found = self._conditions.get((model, service_tier))
        if found is None:
            raise QuoteError(no_card_reason(self.book, model=model, service_tier=service_tier))
        size_class = bisect_right(found.thresholds_tokens, size_tokens)
        region = region if region in found.regions else ""
        named = (
            tuple(sorted(found.dimensions.intersection(dimensions.items()))) if dimensions else ()
        )
        windows: tuple[str, ...] = ()
        if found.clock is not None:
            if moment_at is None:
                raise QuoteError(
                    f"the rates of {model} in {service_tier} depend on the time "
                    f"({', '.join(sorted(found.names.values()))}); say at which moment"
                )
            windows = found.clock.keys_at(moment_at)
        card = found.compiled.get((size_class, region, named, windows))
        if card is None:
            rates = match_rates(
                self.book,
                card=found.card,
                region=region,
                size_tokens=found.thresholds_tokens[size_class - 1] if size_class else 0,
                dimensions=dict(named),
                windows={found.names[key] for key in windows},
            )
            card = compile_rates(self.book, rates=rates)
            found.compiled[(size_class, region, named, windows)] = card
        return card

    def amount(self, request: QuoteRequest) -> Fraction:
        """The exact amount of one request; QuoteError where there is none."""
        self.check_moment(request.at)
        return self._card_of(request).amount(request.units)

    def amount_text(self, request: QuoteRequest) -> str:
        """The exact amount of one request as text; QuoteError where there is none."""
        self.check_moment(request.at)
        return self._card_of(request).amount_text(request.units)

    def check_moment(self, moment_at: int | None) -> None:
        """QuoteError for a moment at which the book is not yet in force."""
        if moment_at is not None and moment_at < self.book.effective_from:
            raise QuoteError(
                f"book {self.book.number} is in force from "
                f"{moment_text(self.book.effective_from)}, and {moment_text(moment_at)} is before"
            )

    def _card_of(self, request: QuoteRequest) -> CompiledCard:
        return self.card(
            model=request.model,
            service_tier=request.service_tier,
            size_tokens=request.size_tokens,
            region=request.region,
            dimensions=request.dimensions,
            moment_at=request.at,
        )


def compile_book(book: PriceBook) -> CompiledBook:
    """A price book, ready to quote."""
    conditions: dict[tuple[str, str], _Conditions] = {}
    for card in book.rate_cards:
        units = {entry.unit for entry in card.rates}
        whens = [entry.when for entry in card.rates]
        whens += [m.when for m in book.multipliers if any(map(m.concerns, units))]
        named = {when.window for when in whens}
        windows = tuple(one for one in book.used_windows if one.name in named)
        conditions[(card.model, card.service_tier)] = _Conditions(
            card=card,
            thresholds_tokens=tuple(sorted({when.threshold_tokens for when in whens} - {0})),
            regions=frozenset(when.region for when in whens if when.region is not None),
            dimensions=frozenset(pair for when in whens for pair in when.dimensions.items()),
            clock=WindowClock(windows=windows) if windows else None,
            names={one.key: one.name for one in windows},
            compiled={},
        )
    return CompiledBook(book=book, _conditions=conditions)
