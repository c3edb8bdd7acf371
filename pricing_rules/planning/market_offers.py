"""Offers of others under our names: a dated snapshot of the market, made of a book of their rates.

Invariant: an offer counts for a model only where its name is the model's, or where a person mapped
it there; a provider with several offers of one model counts once, with the lowest.

Two names are the same where their last parts (after the last "/") are, without regard to case and
to which signs stand between letters and digits: ``minimax/MiniMax-M2.5`` is ``minimax-m2-5``, and
``llama-3.1-70b-instruct`` is not ``llama-3.1-70b``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from pricing_rules.document import Document, DocumentError, Name, load_yaml
from pricing_rules.money import exact_text, parse_rate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.guard_rails import entry_bands
from pricing_rules.rules.market import Market, MarketOffer

_SIGNS = re.compile("[^a-z0-9]+")


class MarketNames(Document):
    """Which offers are also of a model, beside those of its own name.

    A name without a "/" is compared as the last part of theirs, one with it is a provider and its
    whole name of the model: ``aws/openai.gpt-oss-120b-1:0``.
    """

    schema_: Literal["tokenworks.market-names/1"] = Field(alias="schema")
    names: Annotated[dict[Name, tuple[Name, ...]], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketOfBook:
    """A snapshot of what the cards of a book ask, under the names that they have there.

    ``left_out``: offers that a snapshot cannot say (a rate per hour has no end per million), as
    ``provider/model unit``.
    """

    market: Market
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OurMarket:
    """A snapshot under our names; ``market`` is None where it has no offer of any.

    ``unmatched`` are models without an offer, ``unused`` mapped names that no offer has.
    """

    market: Market | None
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]


def load_market_names(data: bytes, *, name: str) -> MarketNames:
    """Read a mapping of names (YAML); DocumentError names the line and path of what is wrong."""
    return load_yaml(MarketNames, data, name=name)


def market_of_book(
    book: PriceBook, *, service_tier: str, source: str, snapshot_date: date
) -> MarketOfBook:
    """What each card of one service tier asks for a plain request, as offers of the market.

    The models of the book are named ``provider/model``. A plain request has the smallest size, no
    region or dimension, and lies in no recurring window; only what a card names a rate for is
    offered. DocumentError where nothing is.
    """
    rates: list[MarketOffer] = []
    left_out: list[str] = []
    for card in book.rate_cards:
        if card.service_tier != service_tier:
            continue
        provider, _, model = card.model.partition("/")
        plain = card.rates_for(region="", size_tokens=0, dimensions={})
        for unit, entry in plain.items():
            per_mtok = _terminating(entry_bands(entry)[0][1])
            if per_mtok is None:
                left_out.append(f"{card.model} {unit}")
                continue
            rates.append(
                MarketOffer(model=model, unit=unit, per_mtok=per_mtok, offered_by=provider)
            )
    if not rates:
        raise DocumentError(source, f"offers nothing in the service tier {service_tier}")
    market = Market(
        schema="tokenworks.market/1",
        source=source,
        snapshot_date=snapshot_date,
        currency=book.currency,
        rates=tuple(rates),
    )
    return MarketOfBook(market=market, left_out=tuple(left_out))


def under_our_names(
    market: Market, *, models: Sequence[str] | None, names: MarketNames | None = None
) -> OurMarket:
    """The offers of ``models`` under exactly these names, by model, unit and provider.

    Without ``models``: all offers, those of one name together under its most usual spelling, and
    those that ``names`` maps under its models. Of several offers of one provider the lowest stands.
    """
    mapped: Mapping[str, tuple[str, ...]] = names.names if names else {}
    if models is None:
        models = sorted({*_spellings(market), *mapped})
    by_name: dict[str, list[MarketOffer]] = {}
    for offer in market.rates:
        for name in _names_of(offer):
            by_name.setdefault(name, []).append(offer)
    lowest: dict[tuple[str, str, str], MarketOffer] = {}
    used: set[str] = set()
    for model in models:
        also = mapped.get(model, ())
        used.update(name for name in also if _sought(name) in by_name)
        for name in dict.fromkeys([_last_part(model), *map(_sought, also)]):
            for offer in by_name.get(name, ()):
                key = (model, offer.unit, offer.offered_by)
                if key not in lowest or offer.per_mtok < lowest[key].per_mtok:
                    lowest[key] = offer.model_copy(update={"model": model})
    found = {model for model, _, _ in lowest}
    rates = tuple(lowest[key] for key in sorted(lowest))
    return OurMarket(
        market=market.model_copy(update={"rates": rates}) if rates else None,
        unmatched=tuple(model for model in models if model not in found),
        unused=tuple(sorted({one for listed in mapped.values() for one in listed} - used)),
    )


def _terminating(rate: Fraction) -> Decimal | None:
    try:
        return parse_rate(exact_text(rate))
    except ValueError:
        return None


def _last_part(name: str) -> str:
    return _SIGNS.sub("-", name.rpartition("/")[2].casefold()).strip("-")


def _sought(name: str) -> str:
    return name.casefold() if "/" in name else _last_part(name)


def _names_of(offer: MarketOffer) -> Iterator[str]:
    """What an offer is found by: its last part, and provider with the whole name."""
    yield _last_part(offer.model)
    yield f"{offer.offered_by}/{offer.model}".casefold()


def _spellings(market: Market) -> Iterable[str]:
    """The most usual lower-case last part of each name; of equally usual ones the first."""
    spelled: dict[str, Counter[str]] = {}
    for _, model in sorted({(offer.offered_by, offer.model) for offer in market.rates}):
        last = model.rpartition("/")[2].casefold()
        spelled.setdefault(_last_part(model), Counter())[last] += 1
    for counts in spelled.values():
        yield min(counts, key=lambda text: (-counts[text], text))
