"""genai-prices (pydantic) as price books: one that is in force at a moment, or a dated series.

Invariant: a quote of the book equals ``calc_price`` of genai-prices, exactly, for every request
of one context whose parts are all reported.

A model is ``provider/model``. The words ``processing`` and ``service_tier`` of a context are
service tiers (``service_tier: default`` is the standard one where it changes no price), all other
words are declared dimensions, and a context with words for two service tiers has no card. What
genai-prices charges nothing for because it has no price is unpriced here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from itertools import product

from pricing_rules.document import DocumentError
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.genai_data import (
    PER,
    PricedModel,
    RawModel,
    UnitPrices,
    priced_model,
    raw_models,
)
from pricing_rules.interchange.imported import (
    STANDARD,
    BookHead,
    Collected,
    Imported,
    input_file,
    rate_card,
)
from pricing_rules.interchange.rate_states import State, rate_entries
from pricing_rules.interchange.week_times import partition, window_of
from pricing_rules.period import FIRST_MOMENT_AT
from pricing_rules.prices.price_book import RateCard
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.usage.units import REQUESTS, UNITS, strict_descendants

SOURCE = "genai-prices"

SERVICE_TIER_WORDS = ("processing", "service_tier")
"""The words of a context that name a service tier."""

_TEN_SECONDS = frozenset({"groq/whisper-large-v3", "groq/whisper-large-v3-turbo"})
"""Models for which its code charges ten seconds at least, which its data does not say."""

MAX_COMBINATIONS = 16
"""How many combinations of dimensions a model may have."""


def import_genai_prices(
    data: bytes, *, name: str, head: BookHead, service_tiers: Sequence[str] = ()
) -> Imported:
    """The candidate of what is in force at ``head.effective_from``, in US dollars.

    ``data``: the JSON of genai-prices (a list of providers). Models are refused one by one;
    DocumentError where the file is no such list. ``service_tiers``: those that every model gets a
    card of, also where it has no variant for them, at its standard prices, as ``calc_price`` does.
    """
    return _imported(
        raw_models(data, name=name),
        head=head,
        inputs=input_file(data, name=name),
        service_tiers=service_tiers,
    )


def import_genai_series(data: bytes, *, name: str, provider: str, series: str) -> list[Imported]:
    """All that the data says of one provider, dated: a book from each date on which some price
    starts, numbered from 1; the first is in force from 1970 on.

    DocumentError where the file has no such provider.
    """
    models = [raw for raw in raw_models(data, name=name) if raw.provider == provider]
    if not models:
        raise DocumentError(name, f'has no models of a provider "{provider:.60}"')
    starts = {FIRST_MOMENT_AT}
    for raw in models:
        try:
            starts |= {c.start_at for c in priced_model(raw).constraints if c.start_at is not None}
        except InexpressibleError:
            continue  # refused by name in every book of the series
    return [
        _imported(
            models,
            head=BookHead(series=series, number=number, effective_from=start_at),
            inputs=input_file(data, name=name),
        )
        for number, start_at in enumerate(sorted(starts), start=1)
    ]


def place_of(context: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The service tier and the dimensions that a context of genai-prices is in a book.

    InexpressibleError where two of its words name a service tier.
    """
    named = [context[word] for word in SERVICE_TIER_WORDS if word in context]
    if len(named) > 1:
        raise InexpressibleError("two service tiers in one context", detail=" and ".join(named))
    rest = {key: value for key, value in context.items() if key not in SERVICE_TIER_WORDS}
    return (named[0] if named else STANDARD), rest


def unsaid_part(counts: Mapping[str, int], *, priced: AbstractSet[str]) -> str | None:
    """Why genai-prices would not price these inclusive counts, or None.

    It asks for the count of every priced unit of which a part is reported, and of every priced
    overlap of two units that both are. A book of ours counts an overlap that is not reported as
    none, and prices a part alone; whoever must refuse the same requests asks here first.
    """
    reported = {name for name, count in counts.items() if count}
    for unit in sorted(priced - counts.keys() - {REQUESTS}):
        parts = sorted(reported & strict_descendants(unit))
        if parts:
            return f"{unit} is missing, and a part of it is reported: {parts[0]}"
        words = UNITS[unit].dimensions
        pairs = ((a, b) for a in sorted(reported) for b in sorted(reported) if a < b)
        for a, b in pairs:
            joined = UNITS[a].dimensions | UNITS[b].dimensions
            if joined == words and joined not in (UNITS[a].dimensions, UNITS[b].dimensions):
                return f"{unit} is missing, and it is the overlap of {a} and {b}"
    return None


def _imported(
    models: Sequence[RawModel],
    *,
    head: BookHead,
    inputs: tuple[InputDocument, ...],
    service_tiers: Sequence[str] = (),
) -> Imported:
    moment_at = head.effective_from
    collected = Collected(source=SOURCE, inputs=inputs)
    for raw in models:
        try:
            model = priced_model(raw)
            cards = list(
                _cards(model, moment_at=moment_at, service_tiers=service_tiers, found=collected)
            )
        except InexpressibleError as error:
            collected.refuse(raw.name, error=error)
            continue
        if cards:
            collected.cards += cards
        else:
            collected.without_price.append(raw.name)
    return collected.finished(head)


def _cards(
    model: PricedModel, *, moment_at: int, service_tiers: Sequence[str], found: Collected
) -> Iterator[RateCard]:
    if model.name in _TEN_SECONDS:
        raise InexpressibleError("a least quantity in each request", detail="10 seconds of audio")
    active = [
        v
        for v in model.variants
        if v.constraint.start_at is None or (v.constraint.start_at <= moment_at)
    ]
    contexts: dict[str, dict[str, str]] = {STANDARD: {}}
    values: dict[str, set[str]] = {}
    for variant in active:
        service_tier, dimensions = place_of(variant.when)
        words = {k: v for k, v in variant.when.items() if k in SERVICE_TIER_WORDS}
        if contexts.setdefault(service_tier, words) != words:
            raise InexpressibleError("two service tiers of one name", detail=service_tier)
        for key, value in dimensions.items():
            values.setdefault(key, set()).add(value)
    for service_tier in service_tiers:
        contexts.setdefault(service_tier, {})
    standard = None
    for service_tier, words in contexts.items():
        states = _states(model, moment_at=moment_at, words=words, values=values, found=found)
        if service_tier == STANDARD:
            standard = states
        elif (
            words == {"service_tier": "default"}
            and states == standard
            and service_tier not in service_tiers
        ):
            continue
        rates = rate_entries(states, per=PER.__getitem__)
        if rates:
            yield rate_card(model.name, service_tier=service_tier, rates=rates, source=SOURCE)


def _states(
    model: PricedModel,
    *,
    moment_at: int,
    words: Mapping[str, str],
    values: Mapping[str, set[str]],
    found: Collected,
) -> dict[State, dict[str, Fraction]]:
    """The rates of one service tier in each time of day, combination of dimensions and size."""
    keys = sorted(values)
    combined = [
        tuple((key, value) for key, value in zip(keys, chosen, strict=True) if value is not None)
        for chosen in product(*([None, *sorted(values[key])] for key in keys))
    ]
    if len(combined) > MAX_COMBINATIONS:
        raise InexpressibleError("too many combinations of dimensions", detail=", ".join(keys))

    def priced(held: frozenset[frozenset[int]]) -> list[UnitPrices]:
        return [
            model.prices_at(moment_at, times=held, context={**words, **dict(chosen)})
            for chosen in combined
        ]

    always = priced(frozenset())
    by_window: list[tuple[str | None, list[UnitPrices]]] = [(None, always)]
    times = sorted({c.minutes for c in model.constraints if c.minutes}, key=sorted)
    parts: list[tuple[set[int], list[UnitPrices]]] = []
    for held, minutes in partition(times).items():
        prices = priced(frozenset(times[i] for i in held))
        alike = next((known for known, same in parts if same == prices), None)
        if alike is not None:
            alike.update(minutes)
        elif prices != always:
            parts.append((set(minutes), prices))
    for united, prices in parts:
        by_window.append((found.window_name(window_of(frozenset(united))), prices))
    starts = {
        start
        for _, listed in by_window
        for each in listed
        for one in each.values()
        for start, _ in one.steps
    }
    return {
        State(
            threshold_tokens=start + 1,
            window=name,
            region=dict(chosen).get("region"),
            dimensions=tuple(pair for pair in chosen if pair[0] != "region"),
        ): {unit: price.over(start) for unit, price in prices.items()}
        for name, listed in by_window
        for chosen, prices in zip(combined, listed, strict=True)
        for start in [-1, *sorted(starts)]
    }
