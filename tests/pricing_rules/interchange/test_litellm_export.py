"""A book as LiteLLM's map, field by field, on a small map that has each of them.

Invariant: the map that goes out, read by an interpreter that is not ours, charges what the book
does.
"""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.litellm_export import export_litellm
from tests.pricing_rules.interchange.litellm_interpreter import Request, cost
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    amount,
    book_of,
    from_litellm,
    rates,
    service_tiers,
)

PLAIN: Json = {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05}
DEAR: Json = {"input_cost_per_token": 4e-06, "output_cost_per_token": 2e-05}
SEARCH = {f"search_context_size_{size}": 0.01 for size in ("low", "medium", "high")}
ROWS: list[Json] = [
    {
        "range": [0, 32000],
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "output_cost_per_reasoning_token": 3e-06,
    },
    {
        "range": [32000, 10**12],
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 4e-06,
        "output_cost_per_reasoning_token": 6e-06,
    },
]
ENTRIES: dict[str, Json] = {
    "openai/regional": {
        **PLAIN,
        "regional_processing_uplift_multiplier_eu": 1.1,
        "regional_processing_uplift_multiplier_us": 1.2,
    },
    "vertex_ai/endpoint": {**PLAIN, "regional_endpoint_uplift_multiplier": 1.1},
    "anthropic/fast": {**PLAIN, "provider_specific_entry": {"fast": 2}},
    "google/audio": {
        **PLAIN,
        "cache_read_input_token_cost": 2e-07,
        "cache_read_input_token_cost_flex": 1e-07,
        "input_cost_per_token_flex": 1e-06,
        "input_cost_per_audio_token": 8e-06,
        "output_cost_per_reasoning_token": 1.1e-05,
        "input_cost_per_token_above_200k_tokens": 4e-06,
    },
    "openai/cached": {**PLAIN, "cache_read_input_token_cost": 2e-07,
        "input_cost_per_audio_token": 8e-06, "cache_read_input_audio_token_cost": 4e-07},
    "qwen/explicit": {**PLAIN, "explicit_cache_read_input_token_cost": 5e-07,
        "cache_read_input_token_cost": 4e-07},
    "qwen/table": {"tiered_pricing": ROWS},
    "fireworks_ai/half": {**PLAIN, "litellm_provider": "fireworks_ai"},
    "fireworks_ai/own": {**PLAIN, "cache_read_input_token_cost": 2e-06},
    "google/search": {
        **PLAIN,
        "web_search_billing_unit": "per_query",
        "search_context_cost_per_query": {**SEARCH, "search_context_size_high": 0.02},
        "search_free_requests": {"count": 5, "period": "day", "shared_group": "g"},
    },
    "a/rerank": {"mode": "rerank", "input_cost_per_query": 0.001},
    "a/video": {
        "mode": "video_generation",
        "output_cost_per_second": 0.1,
        "output_cost_per_second_4k": 0.4,
        "input_cost_per_image": 0.01,
    },
    "a/pixels": {"mode": "image_generation", "output_cost_per_pixel": 1e-08},
    "a/song": {"output_cost_per_image": 0.08, "supported_output_modalities": ["audio"]},
    "a/pages": {"ocr_cost_per_page": 0.002, "ocr_cost_per_page_batches": 0.001},
    "a/guard": {"guardrail_cost_per_unit": {"contentPolicyUnits": 0.00015}},
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_what_comes_back_is_what_went_out(name: str) -> None:
    imported = from_litellm({name: ENTRIES[name]})
    back = import_litellm(export_litellm(book_of(imported)), name="map.json", head=HEAD)
    assert service_tiers(back) == service_tiers(imported)
    for tier in service_tiers(imported):
        assert rates(back, model=name, service_tier=tier) == rates(
            imported, model=name, service_tier=tier
        )
    assert book_of(back).allowances == book_of(imported).allowances


def test_numbers_go_out_as_numbers_with_the_digits_of_the_rate() -> None:
    data = export_litellm(book_of(from_litellm({"openai/m": PLAIN})))
    assert b'"input_cost_per_token": 0.000002,' in data
    assert json.loads(data) == {"openai/m": {**PLAIN, "litellm_provider": "openai"}}


def test_a_name_without_a_provider_gets_none() -> None:
    entry = json.loads(export_litellm(book_of(from_litellm({"m": PLAIN}))))["m"]
    assert entry == PLAIN


def test_free_searches_go_out_with_the_models_that_share_them_alone() -> None:
    book = book_of(from_litellm({name: ENTRIES[name] for name in ("google/search", "a/rerank")}))
    found = json.loads(export_litellm(book))
    assert found["google/search"]["search_free_requests"]["shared_group"] == "g"
    assert "search_free_requests" not in found["a/rerank"]


def test_the_map_that_goes_out_charges_what_the_book_does() -> None:
    imported = from_litellm({"google/audio": ENTRIES["google/audio"]})
    entry = json.loads(export_litellm(book_of(imported)))["google/audio"]
    units = {
        "input_tokens": 200_001,
        "cache_read_tokens": 1000,
        "input_audio_tokens": 500,
        "output_tokens": 3000,
        "output_reasoning_tokens": 2000,
    }
    request = Request(prompt=200_001, cached=1000, audio_in=500, completion=3000, reasoning=2000)
    # 198,501 * 4 + 1,000 * 0.2 + 500 * 8 + 1,000 * 10 + 2,000 * 11, per million
    expected = Fraction(794_004 + 200 + 4000 + 10_000 + 22_000, 10**6)
    assert amount(imported, units, model="google/audio") == expected
    assert cost(entry, request=request) == expected


def test_a_size_that_no_field_names_goes_out_as_a_table_of_sizes() -> None:
    entry = {
        "tiered_pricing": [{**PLAIN, "range": [0, 256_000]}, {**DEAR, "range": [256_000, 1e6]}]
    }
    data = export_litellm(book_of(from_litellm({"qwen/m": entry})))
    found = json.loads(data)["qwen/m"]
    assert found["tiered_pricing"] == [
        {**PLAIN, "range": [0, 256_000]},
        {**DEAR, "range": [256_000, 10**12]},
    ]
    assert not [name for name in found if "_above_" in name]


def test_a_size_that_no_field_names_is_refused_where_a_service_tier_has_rates_of_its_own() -> None:
    # A table wins over the fields of every service tier, so flex would come back as standard.
    fields = {"input_cost_per_token_above_256k_tokens": 4e-06, "input_cost_per_token_flex": 1e-06}
    with pytest.raises(DocumentError, match=r"of openai/m in flex"):
        export_litellm(book_of(from_litellm({"openai/m": {**PLAIN, **fields}})))
