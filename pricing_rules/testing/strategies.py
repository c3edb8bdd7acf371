"""Hypothesis strategies of what a book prices: requests, usage totals and usage mixes.

Invariant: whatever is drawn is valid and is priced by the book, and each situation that its rates
tell apart is drawn as often as the plain one: regions, windows, both sides of a context step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st

from pricing_rules.document import JsonValue, validate
from pricing_rules.period import moment_text
from pricing_rules.prices.matching import MatchedRate
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard
from pricing_rules.prices.quote import CompiledBook, QuoteError, QuoteRequest, compile_book
from pricing_rules.prices.rating import grid_for
from pricing_rules.testing.met_rates import (
    BookRates,
    MetRate,
    Situation,
    situations,
    thresholds_tokens,
)
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.mix import HOURS_OF_WEEK, SCHEMA, UsageMix
from pricing_rules.usage.totals import Cell, UsageTotal, add_totals
from pricing_rules.usage.units import REQUESTS, UNITS
from pricing_rules.windows import DAY

MAX_STEPS = 2_000_000
"""The largest count of a unit, at its scale, where no bound of a ladder lies higher."""

MIX_DAYS = 28

_INPUT = UNITS["input_tokens"]


def quote_requests(
    book: PriceBook, *, models: Collection[str] = (), service_tiers: Collection[str] = ()
) -> st.SearchStrategy[QuoteRequest]:
    """Requests that the book prices: any card, any situation, sizes around its context steps,
    counts around the bounds of its ladders. ``models``, ``service_tiers``: none named, all.
    """
    found, compiled = BookRates(book), compile_book(book)
    cards = found.cards(models=models, service_tiers=service_tiers)
    looked_up: dict[tuple[str, str], list[_Ground]] = {}

    def drawn(card: RateCard) -> st.SearchStrategy[QuoteRequest]:
        key = (card.model, card.service_tier)
        if key not in looked_up:
            looked_up[key] = list(_grounds(found, card=card))
        return st.sampled_from(looked_up[key]).flatmap(lambda ground: _requests(ground, compiled))

    return st.sampled_from(cards).flatmap(drawn)


def usage_totals(
    book: PriceBook, *, accounts: Sequence[str] = ("acme", "globex"), requests_at_most: int = 8
) -> st.SearchStrategy[tuple[UsageTotal, ...]]:
    """Totals of requests of some accounts, cut by ``grid_for`` the book, ready to be rated."""
    grid = grid_for(BooksInForce(books=(book,)), period=None)

    def total(account: str, request: QuoteRequest, outcome: str, events: int) -> UsageTotal:
        moment_at = book.effective_from if request.at is None else request.at
        cell = Cell(
            account=account,
            epoch=0,
            segment_start_at=grid.segment_start_at(moment_at),
            model=request.model,
            service_tier=request.service_tier,
            region=request.region,
            size_class_tokens=grid.size_class_tokens(request.size_tokens),
            outcome=outcome,
            dimensions=grid.kept(request.dimensions),
            windows=grid.windows_at(moment_at),
        )
        leaves = split_leaves(request.units)
        return UsageTotal(
            cell=cell,
            events=events,
            leaves={leaf: count * events for leaf, count in leaves.items()},
        )

    one = st.builds(
        total,
        st.sampled_from(list(accounts)),
        quote_requests(book),
        st.sampled_from(["completed", "cancelled", "failed"]),
        st.integers(1, 1000),
    )
    return st.lists(one, min_size=1, max_size=requests_at_most).map(add_totals)


def usage_mixes(
    book: PriceBook, *, accounts: Sequence[str] = ("acme", "globex"), classes_at_most: int = 4
) -> st.SearchStrategy[UsageMix]:
    """What accounts were served of the book's models in the 28 days before it takes effect."""
    places = sorted(
        (account, card.model, card.service_tier) for account in accounts for card in book.rate_cards
    )
    kind = st.tuples(
        st.integers(1, 10_000), st.integers(0, 100_000), st.integers(0, 100_000),
        st.integers(1, 32_000), st.integers(0, HOURS_OF_WEEK - 1),
    )  # fmt: skip
    kinds = st.lists(kind, min_size=1, max_size=classes_at_most)
    return st.dictionaries(st.sampled_from(places), kinds, min_size=1).map(
        lambda drawn: _mix(drawn, end_at=book.effective_from)
    )


_Kind = tuple[int, int, int, int, int]
"""So many events of so many fresh, cached and output tokens each, in one hour of the week."""


def _mix(drawn: Mapping[tuple[str, str, str], Sequence[_Kind]], *, end_at: int) -> UsageMix:
    value: JsonValue = {
        "schema": SCHEMA,
        "start_at": moment_text(end_at - MIX_DAYS * DAY),
        "end_at": moment_text(end_at),
        "entries": [_entry(place, kinds=drawn[place]) for place in sorted(drawn)],
    }
    return validate(UsageMix, value, name="drawn", lines={})


def _entry(place: tuple[str, str, str], *, kinds: Sequence[_Kind]) -> JsonValue:
    classes: dict[tuple[int, int], list[int]] = {}
    hours = [0] * HOURS_OF_WEEK
    for events, fresh, cached, output, hour in kinds:
        size = ((fresh + cached).bit_length(), output.bit_length())
        sums = classes.setdefault(size, [0, 0, 0, 0])
        for i, count in enumerate((1, fresh + cached, cached, output)):
            sums[i] += count * events
        hours[hour] += events
    events, tokens_in, cached, tokens_out = (
        sum(part) for part in zip(*classes.values(), strict=True)
    )
    leaves = {
        "input_tokens": tokens_in - cached, "cache_read_tokens": cached,
        "output_tokens": tokens_out,
    }  # fmt: skip
    names = ("events", "input_tokens", "cache_read_tokens", "output_tokens")
    account, model, service_tier = place
    return {
        "account": account,
        "model": model,
        "service_tier": service_tier,
        "events": events,
        "leaves": {unit: count for unit, count in leaves.items() if count},
        "shapes": [dict(zip(names, classes[size], strict=True)) for size in sorted(classes)],
        "events_by_hour_of_week": hours,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """Where requests are drawn: a situation of a card with its rates, and the sizes that meet it.

    ``size_tokens_at_most``: None where no context step lies above.
    """

    card: RateCard
    situation: Situation
    rates: Mapping[str, MetRate]
    size_tokens_at_most: int | None


def _grounds(found: BookRates, *, card: RateCard) -> Iterator[_Ground]:
    steps = thresholds_tokens([(found.book, card)])
    for situation in situations([(found.book, card)]):
        above = [size_tokens for size_tokens in steps if size_tokens > situation.size_tokens]
        yield _Ground(
            card=card,
            situation=situation,
            rates=found.met(card, situation=situation),
            size_tokens_at_most=above[0] - 1 if above else None,
        )


@st.composite
def _requests(
    draw: Callable[[st.SearchStrategy[int]], int], ground: _Ground, compiled: CompiledBook
) -> QuoteRequest:
    situation = ground.situation
    size_tokens = draw(_around(situation.size_tokens, most=ground.size_tokens_at_most))
    units = _counts(draw, rates=ground.rates, size_tokens=size_tokens)
    value: JsonValue = {
        "model": ground.card.model,
        "service_tier": ground.card.service_tier,
        "region": situation.region,
        "dimensions": dict(situation.dimensions),
        "at": moment_text(situation.moment_at),
        "units": {unit: _count_text(unit, steps=steps) for unit, steps in units.items()},
        **({} if "input_tokens" in units else {"request_tokens": size_tokens}),
    }
    request = validate(QuoteRequest, value, name="drawn", lines={})
    try:
        compiled.amount(request)
    except QuoteError:  # past the last band of a ladder that units share
        assume(False)
    return request


def _counts(
    draw: Callable[[st.SearchStrategy[int]], int],
    *,
    rates: Mapping[str, MetRate],
    size_tokens: int,
) -> dict[str, int]:
    """Inclusive counts of every unit that has a rate; those of input add up to the size."""
    leaves: dict[str, int] = {}
    left = size_tokens
    for unit in sorted(rates.keys() - {REQUESTS, "input_tokens"}):
        if _INPUT.contains(UNITS[unit]):
            leaves[unit] = draw(st.integers(0, left))
            left -= leaves[unit]
        else:
            leaves[unit] = draw(_count_of(rates[unit].matched))
    if "input_tokens" in rates:
        leaves["input_tokens"] = left
    return {
        unit: sum(count for leaf, count in leaves.items() if UNITS[unit].contains(UNITS[leaf]))
        for unit in leaves
    }


def _count_of(matched: MatchedRate) -> st.SearchStrategy[int]:
    if matched.ladder is None:
        return st.integers(0, MAX_STEPS)
    rungs = matched.ladder.rungs
    scale = UNITS[matched.entry.unit].scale
    bounds = [int(step.upper * scale) for step in rungs.steps if step.upper is not None]
    near = sorted({max(bound + by, 0) for bound in bounds for by in (-1, 0, 1)} | {0})
    priced = [
        steps for steps in near if rungs.covered(Fraction(steps, scale)) == Fraction(steps, scale)
    ]
    return st.one_of(st.sampled_from(priced), st.integers(0, max(priced)))


def _around(least: int, *, most: int | None) -> st.SearchStrategy[int]:
    """A size from ``least`` to ``most``, often one of them; None: to well over ``least``."""
    top = least + MAX_STEPS if most is None else most
    return st.one_of(st.sampled_from([least, top]), st.integers(least, top))


def _count_text(unit: str, *, steps: int) -> int | str:
    scale = UNITS[unit].scale
    return steps if scale == 1 else f"{steps}/{scale}"
