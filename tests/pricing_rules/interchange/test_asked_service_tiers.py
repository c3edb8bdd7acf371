"""Service tiers that an import is asked for: what the source charges where an entry has none.

Invariant: a card that was asked for prices as LiteLLM's own calculator or ``calc_price`` would;
without being asked, an import makes a card of no service tier that its source does not name.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import Imported
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.prices.quote import compile_book
from tests.pricing_rules.interchange.litellm_interpreter import cost, price
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    LitellmMap,
    book_of,
    from_genai,
    rates,
    service_tiers,
)
from tests.pricing_rules.interchange.test_litellm_oracle import (
    is_token_priced,
    quoted,
    requests,
)

ASKED = ("batch", "flex", "priority", "fast", "scale")


def asked_litellm(entries: Json, *names: str) -> Imported:
    data = json.dumps(entries).encode()
    return import_litellm(data, name="map.json", head=HEAD, service_tiers=names)


def asked_genai(model: Json, *names: str) -> Imported:
    data = json.dumps([{"id": "p", "models": [{"id": "m", **model}]}]).encode()
    return import_genai_prices(data, name="data.json", head=HEAD, service_tiers=names)


def test_litellm_charges_half_for_batch_priority_for_fast_and_else_the_standard_rate() -> None:
    entry = {"input_cost_per_token": 2e-06, "input_cost_per_token_priority": 5e-06}
    found = asked_litellm({"m": entry}, *ASKED)
    by_tier = {
        name: rates(found, service_tier=name)["input_tokens"].split()[0]
        for name in service_tiers(found)
    }
    assert by_tier == {
        "standard": "2",
        "priority": "5",
        "batch": "1",
        "flex": "2",
        "fast": "5",
        "scale": "2",
    }


def test_an_entry_that_names_no_priority_is_fast_at_the_standard_rate() -> None:
    found = asked_litellm({"m": {"input_cost_per_token": 2e-06}}, "fast")
    assert rates(found, service_tier="fast") == {"input_tokens": "2 per 1000000"}


def test_of_batch_a_cache_that_was_asked_for_is_read_at_half() -> None:
    fields = {"input_cost_per_token": 2e-06, "explicit_cache_read_input_token_cost": 4e-07}
    found = asked_litellm({"m": fields}, "batch")
    assert rates(found, service_tier="batch")["cache_read_tokens cache=explicit"] == (
        "0.2 per 1000000"
    )


def test_a_service_tier_is_made_once_and_standard_never_twice() -> None:
    entry = {"input_cost_per_token": 2e-06, "input_cost_per_token_flex": 1e-06}
    found = asked_litellm({"m": entry}, "flex", "standard", "flex")
    assert service_tiers(found) == ["standard", "flex"]
    assert rates(found, service_tier="flex") == {"input_tokens": "1 per 1000000"}


def test_a_name_that_no_service_tier_may_have_refuses_each_entry() -> None:
    found = asked_litellm({"m": {"input_cost_per_token": 2e-06}}, "")
    assert [one.reason for one in found.refused] == ["not a valid rate card"]


def test_genai_prices_charges_the_standard_prices_where_no_variant_names_the_service_tier() -> None:
    model = {
        "prices": {"input_mtok": "2"},
        "price_variants": [
            {"when": {"service_tier": "priority"}, "prices": {"input_mtok": "5"}},
            {"when": {"service_tier": "default"}, "prices": {"input_mtok": "2"}},
        ],
    }
    assert service_tiers(from_genai(model)) == ["standard", "priority"]
    found = asked_genai(model, "batch", "priority", "default")
    by_tier = {
        name: rates(found, model="p/m", service_tier=name)["input_tokens"].split()[0]
        for name in service_tiers(found)
    }
    assert by_tier == {"standard": "2", "priority": "5", "default": "2", "batch": "2"}


def test_a_model_whose_list_of_prices_is_empty_has_no_price() -> None:
    found = from_genai({"prices": []})
    assert (found.book, found.without_price, found.refused) == (None, ("p/m",), ())


@pytest.mark.parametrize("service_tier", ["batch", "flex", "priority"])
def test_a_quote_in_a_service_tier_that_no_field_names_is_what_litellm_would_charge(
    litellm_map: LitellmMap, service_tier: str
) -> None:
    chance = random.Random(20261126)
    entries = {
        model: entry
        for model, entry in list(litellm_map.entries.items())[::25]
        if model not in litellm_map.refused and is_token_priced(entry)
    }
    book = compile_book(book_of(asked_litellm(entries, service_tier)))
    compared = 0
    for model, entry in entries.items():
        for made in requests(entry, chance=chance):
            one = replace(made, service_tier=service_tier)
            # A fee per request is none of the token prices; four models have one.
            theirs = cost(entry, request=one) + (price(entry, name="input_cost_per_request") or 0)
            assert quoted(book, model=model, request=one) == theirs, (model, one)
            compared += 1
    assert compared > 1_000
