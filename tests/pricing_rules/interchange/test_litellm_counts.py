"""What LiteLLM's map prices besides tokens, field by field, and what of it is refused.

Invariant: each field is seen on the smallest entry that has it, with its unit and its rate.
"""

from __future__ import annotations

import pytest

from tests.pricing_rules.interchange.made_imports import Json, from_litellm, rates, refusal

PLAIN: Json = {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05}


def one(fields: Json) -> Json:
    return {"m": {**PLAIN, **fields}}


def test_a_search_without_a_size_is_a_medium_one() -> None:
    sizes = {"low": 0.005, "medium": 0.008, "high": 0.012}
    named = {f"search_context_size_{size}": price for size, price in sizes.items()}
    found = from_litellm(one({"search_context_cost_per_query": named}))
    assert {k: v for k, v in rates(found).items() if "search" in k} == {
        "web_searches": "0.008 per 1",
        "web_searches search_context_size=low": "0.005 per 1",
        "web_searches search_context_size=high": "0.012 per 1",
    }


def test_a_search_of_one_size_only_has_no_rate_for_others() -> None:
    found = from_litellm(
        {"m": {"search_context_cost_per_query": {"search_context_size_low": 0.01}}}
    )
    assert rates(found) == {"web_searches search_context_size=low": "0.01 per 1"}


def test_free_searches_are_shared_by_the_models_of_a_group() -> None:
    free = {"count": 5000, "period": "month", "shared_group": "g3"}
    search = {"search_context_cost_per_query": {"search_context_size_medium": 0.014}}
    alone = {"count": 9, "period": "day"}
    found = from_litellm(
        {
            "a": {**search, "search_free_requests": free},
            "b": {**search, "search_free_requests": free},
            "c": {**search, "search_free_requests": alone},
            "d": {**search, "search_free_requests": {**free, "count": 1}},
            "e": {**search, "search_free_requests": {**free, "period": "day"}},
        }
    )
    assert found.book is not None
    listed = [(a.id, a.models, a.quantity, a.reset) for a in found.book.allowances]
    assert listed == [
        ("searches-g3", ("a", "b"), 5000, "month"),
        ("searches-c", ("c",), 9, "day"),
    ]
    why = "searches-g3 is free in another quantity or period elsewhere"
    assert [(one.entry, one.detail) for one in found.refused] == [("d", why), ("e", why)]


def test_what_a_search_counts_is_noted_where_google_bills_by_the_prompt() -> None:
    fields: Json = {
        "litellm_provider": "gemini",
        "search_context_cost_per_query": {"search_context_size_medium": 0.035},
    }
    assert "per_prompt" in from_litellm(one(fields)).notes[0].sentence
    fields["web_search_billing_unit"] = "per_query"
    assert from_litellm(one(fields)).notes == ()


@pytest.mark.parametrize(
    "fields, unit, rate",
    [
        ({"mode": "rerank", "input_cost_per_query": 0.001}, "rerank_searches", "0.001 per 1"),
        ({"mode": "search", "input_cost_per_query": 0.003}, "web_searches", "0.003 per 1"),
        ({"mode": "ocr", "ocr_cost_per_page": 0.002}, "input_document_pages", "0.002 per 1"),
        ({"input_cost_per_character": 1.5e-05}, "input_characters", "15 per 1000000"),
        ({"input_cost_per_request": 0.005}, "requests", "0.005 per 1"),
        ({"code_interpreter_cost_per_session": 0.033}, "code_sessions", "0.033 per 1"),
        (
            {"mode": "image_generation", "input_cost_per_image": 0.04},
            "output_images",
            "0.04 per 1",
        ),
        ({"mode": "chat", "input_cost_per_image": 0.04}, "input_images", "0.04 per 1"),
        (
            {"output_cost_per_image": 0.08, "supported_output_modalities": ["audio"]},
            "songs",
            "0.08 per 1",
        ),
        (
            {"input_cost_per_pixel": 1.9e-08, "output_cost_per_pixel": 0},
            "output_pixels",
            "0.000000019 per 1",
        ),
        ({"output_cost_per_pixel": 0.0}, "output_pixels", "0 per 1"),
        (
            {"mode": "audio_transcription", "input_cost_per_second": 1e-04},
            "input_audio_seconds",
            "0.0001 per 1",
        ),
        (
            {"mode": "audio_transcription", "output_cost_per_second": 0.0},
            "input_audio_seconds",
            "0 per 1",
        ),
        (
            {"mode": "audio_speech", "output_cost_per_second": 0.25},
            "output_audio_seconds",
            "0.25 per 1",
        ),
        ({"input_cost_per_second": 0.25}, "input_audio_seconds", "0.25 per 1"),
        (
            {"cost_per_second": 0.0019, "input_cost_per_second": 0.0019},
            "capacity_unit_seconds",
            "0.0019 per 1",
        ),
    ],
)
def test_what_is_no_token_has_its_unit(fields: Json, unit: str, rate: str) -> None:
    found = rates(from_litellm({"m": fields}))
    assert list(found) == [unit]
    assert found[unit] == rate


def test_a_resolution_is_a_dimension() -> None:
    fields = {
        "mode": "video_generation",
        "output_cost_per_second": 0.1,
        "output_cost_per_second_4k": 0.4,
    }
    assert rates(from_litellm({"m": fields})) == {
        "output_video_seconds": "0.1 per 1",
        "output_video_seconds resolution=4k": "0.4 per 1",
    }


def test_what_is_transcribed_by_tokens_has_no_rate_of_a_second() -> None:
    fields = {"mode": "audio_transcription", "input_cost_per_token": 2.5e-06}
    assert rates(from_litellm({"m": fields})) == {"input_tokens": "2.5 per 1000000"}


def test_pages_in_batch_have_their_own_rate_or_the_plain_one() -> None:
    fields = {
        "ocr_cost_per_page": 0.002,
        "annotation_cost_per_page": 0.003,
        "ocr_cost_per_page_batches": 0.001,
    }
    assert rates(from_litellm({"m": fields}), service_tier="batch") == {
        "input_document_pages": "0.001 per 1",
        "input_annotated_document_pages": "0.003 per 1",
    }


def test_characters_and_seconds_have_rates_above_128k() -> None:
    fields = {
        "input_cost_per_character": 1e-06,
        "input_cost_per_character_above_128k_tokens": 3e-06,
    }
    assert rates(from_litellm({"m": fields})) == {
        "input_characters": "1 per 1000000",
        "input_characters request_tokens>128000": "3 per 1000000",
    }


def test_each_kind_of_guardrail_has_its_rate() -> None:
    kinds = {"contentPolicyUnits": 0.00015, "wordPolicyUnits": 0.0, "other": None}
    found = from_litellm({"m": {"guardrail_cost_per_unit": kinds}})
    assert rates(found) == {
        "guardrail_units guardrail=contentPolicyUnits": "0.00015 per 1",
        "guardrail_units guardrail=wordPolicyUnits": "0 per 1",
    }


def test_an_image_priced_twice_is_noted() -> None:
    by_image = {"output_cost_per_image": 0.1, "output_cost_per_image_token": 1e-05}
    by_pixel = {"output_cost_per_image": 0.1, "output_cost_per_pixel": 1e-08}
    notes = from_litellm({"a": by_image, "b": by_pixel}).notes_by_sentence
    assert [sentence.split(";")[0] for sentence in notes] == [
        "output images are priced by the image and by their tokens",
        "the price of an image is imported",
    ]


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"ocr_cost_per_credit": 0.015}, "does not read (ocr_cost_per_credit)"),
        ({"input_cost_per_token": "cheap"}, "input_cost_per_token is 'cheap'"),
        ({"input_cost_per_token": -1e-06}, "input_cost_per_token is -1e-06"),
        ({"input_cost_per_token": True}, "input_cost_per_token is True"),
        ({"input_cost_per_token": 1e30}, "a rate of more digits than a book holds"),
        ({"input_dbu_cost_per_token": 7e-05}, "no price that is read"),
        ({"cost_per_second": 1, "input_cost_per_second": 2}, "two prices of one second"),
        (
            {
                "mode": "audio_transcription",
                "input_cost_per_second": 1,
                "output_cost_per_second": 2,
            },
            "two prices of one second",
        ),
        ({"input_cost_per_pixel": 1, "output_cost_per_pixel": 2}, "two prices of one pixel"),
        ({"mode": "chat", "input_cost_per_query": 1}, "a query of an unknown kind (chat)"),
        ({"search_context_cost_per_query": {"size": 1}}, "does not read (size)"),
        ({"search_context_cost_per_query": 0.01}, "is 0.01, and no object"),
        (
            {
                "search_context_cost_per_query": {"search_context_size_low": 1},
                "web_search_billing_unit": "per_day",
            },
            "searches billed 'per_day'",
        ),
        ({**PLAIN, "search_free_requests": {"count": 1, "period": "year"}}, "search_free_requests"),
        ({**PLAIN, "search_free_requests": {"count": 0, "period": "day"}}, "quantity"),
        ({**PLAIN, "search_free_requests": {"count": 1.5, "period": "day"}}, "count is 1.5"),
        ({**PLAIN, "provider_specific_entry": 5}, "its provider's entry is 5, and no object"),
        (
            {**PLAIN, "provider_specific_entry": {"minimax_free_input_images": 2}},
            "a free quantity in each request",
        ),
    ],
)
def test_what_a_book_cannot_say_is_refused_by_name(fields: Json, reason: str) -> None:
    found = from_litellm({"m": fields})
    assert [one.entry for one in found.refused] == ["m"]
    assert reason in refusal(found)
