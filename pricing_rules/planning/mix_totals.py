"""Usage mixes as usage totals, so that a backtest can do without the events.

Invariant: a mix is rated only where all of its usage has the same rates: what depends on a field
that a mix does not hold is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from pricing_rules.document import DocumentError
from pricing_rules.period import Period, moment_text
from pricing_rules.planning.backtest import over_all_time
from pricing_rules.prices.allowances import Allowance
from pricing_rules.prices.conditions import When
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.usage.mix import UsageMix, inclusive_count
from pricing_rules.usage.totals import Cell, Grid, UsageTotal
from pricing_rules.usage.units import REQUESTS

_PLAIN = When().shape


def mixes_span(mixes: Sequence[UsageMix]) -> Period:
    """From the start of the first mix to the end of the last.

    DocumentError where two of them share a moment: an event could be in both.
    """
    ordered = sorted(mixes, key=lambda mix: (mix.start_at, mix.end_at))
    for mix, after in pairwise(ordered):
        if after.start_at < mix.end_at:
            raise DocumentError(
                "usage mixes",
                f"one ends at {moment_text(mix.end_at)} and the next starts before, at "
                f"{moment_text(after.start_at)}; their usage would count twice",
            )
    return Period(start_at=ordered[0].start_at, end_at=ordered[-1].end_at)


def mix_totals(
    mixes: Sequence[UsageMix],
    *,
    sides: Sequence[BooksInForce],
    months: Sequence[Period],
    grid: Grid,
) -> tuple[UsageTotal, ...]:
    """The totals of mixes for a backtest of ``sides`` over ``months``; each mix as one moment.

    DocumentError where a rate of a side depends on region, request size, window or dimension, where
    a price changes inside a mix, and where a ladder or an allowance starts anew inside one.
    """
    for mix in mixes:
        for books in sides:
            for fault in _faults(mix, books=over_all_time(books), months=months):
                raise DocumentError("usage mix", f"{fault}; give the events instead (--usage)")
    return tuple(
        UsageTotal(
            cell=Cell(
                account=entry.account,
                epoch=0,
                segment_start_at=grid.segment_start_at(mix.start_at),
                model=entry.model,
                service_tier=entry.service_tier,
                region="",
                size_class_tokens=0,
                outcome="completed",
                dimensions=(),
            ),
            events=entry.events,
            leaves=entry.leaves,
        )
        for mix in mixes
        for entry in mix.entries
    )


def _faults(mix: UsageMix, *, books: BooksInForce, months: Sequence[Period]) -> Iterator[str]:
    inside = range(mix.start_at + 1, mix.end_at)
    served = sorted({(entry.model, entry.service_tier) for entry in mix.entries})
    split = [month.start_at for month in months if month.start_at in inside]
    for book in books.books:
        name = f"book {book.number}"
        if book.effective_from in inside:
            yield f"{name} takes effect inside of it, at {moment_text(book.effective_from)}"
        for condition in _conditions(book, served=served):
            yield f"{name} has a rate for {condition}, and a mix does not say how much that is"
        allowances = _allowances(book, mix=mix)
        if split and (
            _has_ladder(book, served=served) or any(one.cut is None for one in allowances)
        ):
            yield (
                f"a month begins inside of it, at {moment_text(split[0])}, and {name} has ladders "
                "or allowances that start anew"
            )
        for one in allowances:
            for at in one.cut.boundaries(inside.start, end_at=inside.stop) if one.cut else ():
                yield (
                    f"a {one.reset} of {one.zone} begins inside of it, at {moment_text(at)}, and "
                    f"the allowance {one.id} of {name} starts anew"
                )


def _conditions(book: PriceBook, *, served: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What rates that the usage could meet depend on, beside model and service tier."""
    for model, service_tier in served:
        card = book.card(model=model, service_tier=service_tier)
        for entry in card.rates if card else ():
            if entry.when.shape != _PLAIN:
                yield entry.when.text()
    for multiplier in book.multipliers:
        if multiplier.when.shape != _PLAIN:
            yield multiplier.when.text()


def _has_ladder(book: PriceBook, *, served: Sequence[tuple[str, str]]) -> bool:
    cards = (book.card(model=model, service_tier=service_tier) for model, service_tier in served)
    return any(entry.ladder is not None for card in cards if card for entry in card.rates)


def _allowances(book: PriceBook, *, mix: UsageMix) -> list[Allowance]:
    """The allowances that the usage could take from."""
    return [
        one
        for one in book.allowances
        if any(
            one.covers(model=entry.model, service_tier=entry.service_tier, unit=unit)
            and (unit == REQUESTS or inclusive_count(entry.leaves, unit=unit))
            for unit in one.units
            for entry in mix.entries
        )
    ]
