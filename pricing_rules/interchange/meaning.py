"""What a book means for each kind of request, and whether two books mean the same.

Invariant: a book that an export lets pass has, read back, the same rate for every unit of every
card under all conditions; what would come back otherwise is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product

from pricing_rules.document import DocumentError
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.imported import CURRENCY, BookHead, Imported
from pricing_rules.interchange.rate_states import State, unit_rate
from pricing_rules.interchange.week_times import partition, window_minutes
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard, When
from pricing_rules.usage.units import nearest_priced

LITELLM = "litellm"
"""The target that can say free searches."""

CSV = "csv"
"""The target that can say every currency, and no window."""

MAX_STATES = 4096
"""How many kinds of request of one card are compared."""

Effective = dict[str, Fraction | None]
"""The rate of each unit, its nearest ancestor's where it has none; None where two claim it."""


def name_of(book: PriceBook) -> str:
    """A book as sentences name it."""
    return f"{book.series} number {book.number}"


def head_of(book: PriceBook) -> BookHead:
    """What a book says about itself."""
    return BookHead(series=book.series, number=book.number, effective_from=book.effective_from)


def refuse_beyond_rates(book: PriceBook, *, target: str) -> None:
    """DocumentError where a book holds more than rates with conditions, in another currency too."""
    found: str | None = None
    ladders = (e for card in book.rate_cards for e in card.rates if e.ladder is not None)
    if book.multipliers:
        found = f"the multiplier {book.multipliers[0].id}"
    elif book.allowances and target != LITELLM:
        found = f"the allowance {book.allowances[0].id}"
    elif (entry := next(ladders, None)) is not None and entry.ladder is not None:
        found = f"the ladder {entry.ladder.id}"
    elif target == CSV and book.used_windows:
        found = f"the window {book.used_windows[0].name}"
    elif target != CSV and book.currency != CURRENCY:
        found = f"rates in {book.currency}"
    if found:
        raise DocumentError(name_of(book), f"{target} cannot say {found}; take it out first")


def refuse_lost(book: PriceBook, *, back: Imported, target: str) -> None:
    """DocumentError that names what an export of a book would lose, found by reading it back."""
    found = list(_lost(book, back=back))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DocumentError(
            name_of(book), f"{target} cannot say {found[0]}{more}; take it out first"
        )


def _lost(book: PriceBook, *, back: Imported) -> Iterator[str]:
    for refused in back.refused:
        yield f"{refused.entry}: {refused.sentence()}"
    ours, theirs = (_free(one) for one in (book, back.book))
    yield from (f"the allowance {name}" for name in ours if ours[name] != theirs.get(name))
    known = {(c.model, c.service_tier): c for c in (back.book.rate_cards if back.book else ())}
    for card in book.rate_cards:
        other = known.pop((card.model, card.service_tier), None)
        if back.book is None or other is None:
            yield f"the rate card of {card.model} in {card.service_tier}"
        else:
            lost = _first_difference(card, book=book, other=other, back=back.book)
            if lost:
                yield f"{lost} of {card.model} in {card.service_tier}"
    for model, service_tier in known:
        yield f"that {model} is not sold in {service_tier}"


def _free(book: PriceBook | None) -> dict[str, object]:
    """What the allowances of a book make free, in whatever order they list models."""
    listed = book.allowances if book is not None else ()
    return {
        one.id: (
            one.quantity, one.reset, one.zone, one.units, sorted(one.models), one.service_tiers
        )
        for one in listed
    }  # fmt: skip


def _first_difference(
    card: RateCard, *, book: PriceBook, other: RateCard, back: PriceBook
) -> str | None:
    units = sorted({entry.unit for entry in (*card.rates, *other.rates)})
    try:
        mine, theirs = _windows(card, book), _windows(other, back)
        states = list(_states((card, other), windows=(*mine.values(), *theirs.values())))
    except InexpressibleError as error:
        return str(error)
    for state, held in states:
        ours = effective(card, state=state, windows=_names(mine, held), units=units)
        found = effective(other, state=state, windows=_names(theirs, held), units=units)
        for unit in units:
            if ours[unit] != found[unit]:
                when = state.when().text()
                return (
                    f"the rate of {unit}{f' when {when}' if when else ''} "
                    f"({_text(ours[unit])} would come back as {_text(found[unit])})"
                )
    return None


def effective(
    card: RateCard, *, state: State, windows: Sequence[str], units: Iterable[str]
) -> Effective:
    """What one natural unit of each unit costs in a state, with these windows in force."""
    chosen = card.rates_for(
        region=state.region or "",
        size_tokens=state.threshold_tokens,
        dimensions=dict(state.dimensions),
        windows=windows,
    )
    found: Effective = {}
    for unit in units:
        try:
            nearest = nearest_priced(unit, priced=chosen.keys())
        except LookupError:
            nearest = None
        found[unit] = None if nearest is None else unit_rate(chosen[nearest])
    return found


def whens(card: RateCard) -> list[When]:
    """The conditions of a card's rates, each once, general ones first."""
    found = {entry.when.shape: entry.when for entry in card.rates}
    return sorted(found.values(), key=When.specificity)


def _states(
    cards: Sequence[RateCard], *, windows: Sequence[frozenset[int]]
) -> Iterator[tuple[State, frozenset[int]]]:
    """Every kind of request that some rate of the cards tells apart, with the minutes that it is
    in.
    """
    named = [entry.when for card in cards for entry in card.rates]
    thresholds = sorted({when.threshold_tokens for when in named} | {0})
    regions = sorted({when.region for when in named if when.region is not None})
    values: dict[str, set[str]] = {}
    for when in named:
        for key, value in when.dimensions.items():
            values.setdefault(key, set()).add(value)
    combined = list(product(*([None, *sorted(values[key])] for key in sorted(values))))
    times = [frozenset[int](), *partition(list(dict.fromkeys(windows))).values()]
    if len(thresholds) * (len(regions) + 1) * len(combined) * len(times) > MAX_STATES:
        raise InexpressibleError("so many conditions", detail=f"more than {MAX_STATES} together")
    for tokens, region, chosen, held in product(thresholds, [None, *regions], combined, times):
        pairs = zip(sorted(values), chosen, strict=True)
        dimensions = tuple((key, value) for key, value in pairs if value is not None)
        state = State(threshold_tokens=tokens, region=region, dimensions=dimensions)
        yield state, held


def _windows(card: RateCard, book: PriceBook) -> dict[str, frozenset[int]]:
    named = {entry.when.window for entry in card.rates if entry.when.window is not None}
    return {name: window_minutes(book.windows[name]) for name in sorted(named)}


def _names(windows: Mapping[str, frozenset[int]], held: frozenset[int]) -> list[str]:
    return [name for name, minutes in windows.items() if held and held <= minutes]


def _text(rate: Fraction | None) -> str:
    return "none" if rate is None else exact_text(rate)
