"""Offers of others: read from a book of their rates, and found under our names."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.market_offers import (
    MarketOfBook,
    OurMarket,
    load_market_names,
    market_of_book,
    under_our_names,
)
from pricing_rules.rules.market import Market
from tests.pricing_rules.planning.made_market import made_market, offer
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book


def rate(unit: str, amount: str, **fields: Any) -> Json:
    return {"unit": unit, "rate": amount, **fields}


def offers_of(*cards: Json) -> MarketOfBook:
    return market_of_book(
        read_book({**book_json(cards), "dimensions": {"route": ["eu"]}}),
        service_tier="standard",
        source="some data",
        snapshot_date=date(2026, 11, 20),
    )


def shown(market: Market | None) -> list[tuple[str, str, str, str]]:
    assert market is not None
    return [(one.offered_by, one.model, one.unit, str(one.per_mtok)) for one in market.rates]


def ours(market: Market, *models: str, names: str = "") -> OurMarket:
    mapped = None
    if names:
        text = f"schema: tokenworks.market-names/1\nnames:\n  {names}\n"
        mapped = load_market_names(text.encode(), name="names.yaml")
    return under_our_names(market, models=models or None, names=mapped)


# a book of their rates


def test_an_offer_is_what_a_card_asks_for_a_plain_request_per_million() -> None:
    found = offers_of(
        card_json(
            [
                rate("input_tokens", "2"),
                rate("input_tokens", "4", when={"request_tokens_over": 200_000}),
                rate("input_tokens", "1", when={"dimensions": {"route": "eu"}}),
                rate("output_tokens", "8", when={"region": "eu"}),
                rate("web_searches", "10", per=1000),
            ],
            model="groq/openai/gpt-oss-120b",
        ),
        card_json([rate("input_tokens", "1")], model="groq/m", service_tier="batch"),
    )
    # Output has no rate without a region; 10 per 1,000 searches are 10,000 per million.
    assert shown(found.market) == [
        ("groq", "openai/gpt-oss-120b", "input_tokens", "2"),
        ("groq", "openai/gpt-oss-120b", "web_searches", "10000"),
    ]
    assert (found.market.source, found.market.currency) == ("some data", "USD")
    assert found.left_out == ()


def test_a_rate_that_no_million_has_is_left_out_by_name() -> None:
    # .1 per 3,600 seconds: 100,000 / 3,600 = 27.777... per million
    found = offers_of(
        card_json(
            [rate("audio_seconds", "0.1", per=3600), rate("input_tokens", "1")], model="p/whisper"
        )
    )
    assert shown(found.market) == [("p", "whisper", "input_tokens", "1")]
    assert found.left_out == ("p/whisper audio_seconds",)


def test_a_book_without_the_service_tier_offers_nothing() -> None:
    with pytest.raises(DocumentError, match="some data: offers nothing in the service tier"):
        offers_of(card_json([rate("input_tokens", "1")], model="p/m", service_tier="batch"))


# our names

THREE = made_market(
    offer("0.6", "groq", model="openai/gpt-oss-120b"),
    offer("0.5", "novita", model="GPT_OSS 120B"),
    offer("0.9", "aws", model="openai.gpt-oss-120b-1:0"),
    offer("3", "other", model="gpt-oss-120b-turbo"),
)


def test_a_model_is_found_by_the_last_part_of_its_name_whatever_the_signs_and_the_case() -> None:
    found = ours(THREE, "GPT-OSS-120B")
    assert shown(found.market) == [
        ("groq", "GPT-OSS-120B", "output_tokens", "0.6"),
        ("novita", "GPT-OSS-120B", "output_tokens", "0.5"),
    ]
    assert (found.unmatched, found.unused) == ((), ())
    assert shown(ours(THREE, "lab/gpt-oss.120b").market)[0][1] == "lab/gpt-oss.120b"


def test_a_longer_name_is_another_model() -> None:
    found = ours(THREE, "gpt-oss", "gpt-oss-120b")
    assert found.unmatched == ("gpt-oss",)
    assert {model for _, model, _, _ in shown(found.market)} == {"gpt-oss-120b"}


def test_mapped_names_are_found_by_last_part_or_by_provider_and_whole_name() -> None:
    mapped = 'gpt-oss-120b: ["AWS/openai.gpt-oss-120b-1:0", gpt-oss-120b-turbo]'
    found = ours(THREE, "gpt-oss-120b", names=mapped)
    assert [by for by, _, _, _ in shown(found.market)] == ["aws", "groq", "novita", "other"]
    # A whole name of another provider is not it, nor is a whole name without one.
    for wrong in ("azure/openai.gpt-oss-120b-1:0", "openai/gpt-oss-120b"):
        found = ours(THREE, "gpt-oss-120b", names=f'gpt-oss-120b: ["{wrong}"]')
        assert [by for by, _, _, _ in shown(found.market)] == ["groq", "novita"]
        assert found.unused == (wrong,)


def test_a_mapping_of_a_model_that_was_not_asked_for_is_not_used() -> None:
    found = ours(THREE, "gpt-oss-120b", names="other-model: [gpt-oss-120b-turbo]")
    assert found.unused == ("gpt-oss-120b-turbo",)


def test_a_provider_with_several_offers_of_a_model_counts_once_with_its_lowest() -> None:
    market = made_market(
        offer("2", "router", model="m"),
        offer("1", "router", model="lab/m"),
        offer("3", "router", model="other-lab/m"),
    )
    assert shown(ours(market, "m").market) == [("router", "m", "output_tokens", "1")]


def test_without_models_each_name_has_its_most_usual_spelling_and_mapped_ones_are_ours() -> None:
    market = made_market(
        offer("1", "a", model="Llama-3.1-8B"),
        offer("2", "b", model="meta/llama-3-1-8b"),
        offer("3", "c", model="llama-3.1-8b"),
        offer("4", "d", model="llama-31-8b-it"),
    )
    found = ours(market, names="My-Llama: [llama-31-8b-it]")
    assert {(by, model) for by, model, _, _ in shown(found.market)} == {
        ("a", "llama-3.1-8b"),
        ("b", "llama-3.1-8b"),
        ("c", "llama-3.1-8b"),
        ("d", "llama-31-8b-it"),
        ("d", "My-Llama"),
    }
    # Of two spellings that are equally usual the first by the alphabet: "-" is before ".".
    two = made_market(offer("1", "a", model="m.1"), offer("2", "b", model="m-1"))
    assert {model for _, model, _, _ in shown(ours(two).market)} == {"m-1"}


def test_without_any_offer_there_is_no_market() -> None:
    found = ours(THREE, "absent")
    assert (found.market, found.unmatched) == (None, ("absent",))


def test_a_mapping_without_names_is_refused_with_its_line() -> None:
    with pytest.raises(DocumentError, match=r"names.yaml:2 names"):
        load_market_names(b"schema: tokenworks.market-names/1\nnames: {}\n", name="names.yaml")
