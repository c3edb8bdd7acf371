"""LiteLLM's ``model_prices_and_context_window.json`` as a price book, and back.

Invariant: model names are the keys of the map, verbatim; each service tier that an entry names is
a rate card, with every fallback of LiteLLM written out, and costs what its
``generic_cost_per_token`` says.

Where the two differ, on purpose: tokens without a rate of their own and without an ancestor that
has one are unpriced, not free; audio, image and video tokens without a rate of their own take the
input rate that is in force for the request; cached and modality tokens that overlap are refused
unless the overlap is reported (``cache_audio_read_tokens``), not cut to fit; a request without
input tokens takes the first row of ``tiered_pricing``; a service tier that an entry does not name
has a card only where the import is asked for it. The public routes of Fireworks and Perplexity,
which leave out caches and service tiers, are not followed; a field that LiteLLM drops
(``input_cost_per_audio_token_priority``) is not read, and noted.
"""

from __future__ import annotations

from collections.abc import Sequence

from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.interchange.foreign_json import UNREAD_PRICE, InexpressibleError, object_part
from pricing_rules.interchange.imported import BookHead, Collected, Imported, input_file, rate_card
from pricing_rules.interchange.litellm_counts import count_states, free_searches, refuse_settings
from pricing_rules.interchange.litellm_entry import Entry, priced_as
from pricing_rules.interchange.litellm_tokens import token_states
from pricing_rules.interchange.meaning import LITELLM
from pricing_rules.interchange.rate_states import rate_entries
from pricing_rules.prices.allowances import Allowance
from pricing_rules.prices.price_book import RateCard, RateEntry

_NO_MODEL = {
    "sample_spec": "it explains the fields",
    "fallback_generalizations": "it names models by regular expressions, and a rate card is of one",
}
"""Keys of the map that are no model."""


def import_litellm(
    data: bytes, *, name: str, head: BookHead, service_tiers: Sequence[str] = ()
) -> Imported:
    """The candidate of a cost map, with what a book cannot say refused entry by entry.

    DocumentError where the file is not a JSON object. Prices are per token, second, page or
    whatever the field says, in US dollars; a float is read by its shortest decimal.

    ``service_tiers``: those that every entry gets a card of, also where it does not name them, at
    what LiteLLM then charges: batch at half of the standard rates, all others at the standard ones.
    What the map calls priority, LiteLLM charges for ``fast`` too.
    """
    value = read_json(data, name=name)
    if not isinstance(value, dict):
        raise DocumentError(name, "must be an object of models, as LiteLLM's map is")
    collected = Collected(source=LITELLM, inputs=input_file(data, name=name))
    allowances: dict[str, Allowance] = {}
    for key, fields in value.items():
        try:
            _import_entry(
                key,
                fields,
                service_tiers=service_tiers,
                collected=collected,
                allowances=allowances,
            )
        except InexpressibleError as error:
            collected.refuse(key, error=error)
    collected.allowances = list(allowances.values())
    return collected.finished(head)


def _import_entry(
    key: str,
    fields: JsonValue,
    *,
    service_tiers: Sequence[str],
    collected: Collected,
    allowances: dict[str, Allowance],
) -> None:
    if key in _NO_MODEL:
        raise InexpressibleError("not a model", detail=_NO_MODEL[key])
    entry = Entry(name=key, fields=object_part(fields, name="the entry"))
    if not entry.has_price:
        collected.without_price.append(key)
        return
    refuse_settings(entry)
    notes: dict[str, None] = {}
    cards = [
        card
        for name in dict.fromkeys((*entry.service_tiers, *service_tiers))
        if (card := _card(entry, service_tier=name, collected=collected, notes=notes)) is not None
    ]
    allowance = _shared(free_searches(entry), allowances)
    sentences = [*notes, *entry.unread_notes()]
    if not cards:
        raise InexpressibleError("no price that is read", detail="; ".join(sentences) or "none")
    collected.cards += cards
    collected.note(key, sentences=sentences)
    if allowance is not None:
        allowances[allowance.id] = allowance


def _card(
    entry: Entry, *, service_tier: str, collected: Collected, notes: dict[str, None]
) -> RateCard | None:
    read = priced_as(service_tier)
    groups = [token_states(entry, service_tier=read, collected=collected)]
    groups += count_states(entry, service_tier=read, notes=notes)
    rates: list[RateEntry] = []
    for group in groups:
        rates += rate_entries(group)
    if not rates:
        return None
    return rate_card(entry.name, service_tier=service_tier, rates=tuple(rates), source=LITELLM)


def _shared(found: Allowance | None, allowances: dict[str, Allowance]) -> Allowance | None:
    """The allowance with the models that have shared it so far."""
    known = allowances.get(found.id) if found is not None else None
    if found is None or known is None:
        return found
    if (known.quantity, known.reset) != (found.quantity, found.reset):
        raise InexpressibleError(
            UNREAD_PRICE, detail=f"{found.id} is free in another quantity or period elsewhere"
        )
    return known.model_copy(update={"models": (*known.models, *found.models)})
