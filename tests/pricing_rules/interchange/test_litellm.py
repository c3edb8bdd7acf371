"""LiteLLM's map, rule by rule: what each field becomes, and what is refused.

Invariant: each rule is seen on the smallest entry that has it, with the rate that it makes.
"""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.interchange.litellm import import_litellm
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    amount,
    from_litellm,
    rates,
    refusal,
    service_tiers,
)

PLAIN: Json = {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-05}
MTOK = 10**6


def one(fields: Json) -> Json:
    return {"m": {**PLAIN, **fields}}


def test_a_float_is_read_by_its_shortest_decimal() -> None:
    found = from_litellm({"m": {"input_cost_per_token": 1.5000020000000002e-05}})
    assert rates(found) == {"input_tokens": "15.000020000000002 per 1000000"}


def test_a_service_tier_takes_plain_rates_where_it_has_none_of_its_own() -> None:
    found = from_litellm(
        one({"cache_read_input_token_cost": 2e-07, "input_cost_per_token_flex": 1e-06})
    )
    assert service_tiers(found) == ["standard", "flex"]
    assert rates(found, service_tier="flex") == {
        "input_tokens": "1 per 1000000",
        "output_tokens": "10 per 1000000",
        "cache_read_tokens": "0.2 per 1000000",
    }


def test_batch_is_half_of_the_plain_rate_where_it_has_none_of_its_own() -> None:
    found = from_litellm(
        one({"input_cost_per_token_batches": 1.6e-06, "cache_read_input_token_cost": 2e-07})
    )
    assert rates(found, service_tier="batch") == {
        "input_tokens": "1.6 per 1000000",
        "output_tokens": "5 per 1000000",
        "cache_read_tokens": "0.1 per 1000000",
    }


def test_above_a_size_a_service_tier_takes_its_own_then_the_plain_then_its_rate_so_far() -> None:
    found = from_litellm(
        one(
            {
                "input_cost_per_token_above_200k_tokens": 4e-06,
                "input_cost_per_token_above_200k_tokens_priority": 9e-06,
                "output_cost_per_token_above_200k_tokens": 2e-05,
                "cache_read_input_token_cost": 2e-07,
                "cache_read_input_token_cost_priority": 5e-07,
                "input_cost_per_token_priority": 3e-06,
            }
        )
    )
    assert rates(found, service_tier="priority") == {
        "input_tokens": "3 per 1000000",
        "input_tokens request_tokens>200000": "9 per 1000000",
        "output_tokens": "10 per 1000000",
        "output_tokens request_tokens>200000": "20 per 1000000",
        "cache_read_tokens": "0.5 per 1000000",
    }


@pytest.mark.parametrize("provider, at_bound", [("openai", 2), ("xai", 4)])
def test_a_size_is_passed_over_it_and_by_xai_at_it(provider: str, at_bound: int) -> None:
    found = from_litellm(
        one(
            {
                "litellm_provider": provider,
                "input_cost_per_token_above_200k_tokens": 4e-06,
            }
        )
    )
    per_mtok = [amount(found, {"input_tokens": n}) * MTOK / n for n in (199_999, 200_000, 200_001)]
    assert per_mtok == [2, at_bound, 4]


def test_of_two_sizes_the_higher_one_keeps_what_only_the_lower_one_changed() -> None:
    # Above 200k, output has no rate: it is the plain one again, not the one above 100k.
    found = from_litellm(
        one(
            {
                "input_cost_per_token_above_100k_tokens": 3e-06,
                "input_cost_per_token_above_200k_tokens": 4e-06,
                "output_cost_per_token_above_100k_tokens": 2e-05,
            }
        )
    )
    found_rates = rates(found)
    assert found_rates["output_tokens request_tokens>100000"] == "20 per 1000000"
    assert found_rates["output_tokens request_tokens>200000"] == "10 per 1000000"


def test_a_size_without_an_input_rate_is_not_read_and_noted() -> None:
    found = from_litellm(one({"output_cost_per_token_above_200k_tokens": 2e-05}))
    assert rates(found) == {
        "input_tokens": "2 per 1000000",
        "output_tokens": "10 per 1000000",
    }
    assert list(found.notes_by_sentence) == [
        "a field above a size that has no input rate is not read by LiteLLM"
    ]


ROWS: list[Json] = [
    {"range": [32000, 128000.0], "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06},
    {
        "range": [0, 32000.0],
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 4e-06,
        "cache_read_input_token_cost": 1e-07,
        "output_cost_per_reasoning_token": 5e-06,
    },
]


def test_a_table_of_sizes_wins_over_plain_rates_and_lends_them_its_input_rate() -> None:
    found = from_litellm(
        {"m": {**PLAIN, "cache_read_input_token_cost": 7e-07, "tiered_pricing": ROWS}}
    )
    assert rates(found) == {
        "input_tokens": "1 per 1000000",
        "input_tokens request_tokens>32000": "2 per 1000000",
        "output_tokens": "4 per 1000000",
        "output_tokens request_tokens>32000": "8 per 1000000",
        "cache_read_tokens": "0.1 per 1000000",
        "cache_read_tokens request_tokens>32000": "2 per 1000000",
        "output_reasoning_tokens": "5 per 1000000",
        "output_reasoning_tokens request_tokens>32000": "8 per 1000000",
    }


def test_a_table_without_output_takes_that_of_the_entry_or_none() -> None:
    row = {"range": [0, 32000], "input_cost_per_token": 0}
    fields = {"output_cost_per_token": 3e-06, "output_cost_per_reasoning_token": 4e-06}
    with_output = rates(from_litellm({"m": {**fields, "tiered_pricing": [row]}}))
    assert with_output == {
        "input_tokens": "0 per 1000000",
        "output_tokens": "3 per 1000000",
        "output_reasoning_tokens": "4 per 1000000",
    }
    assert rates(from_litellm({"m": {"tiered_pricing": [row]}})) == {
        "input_tokens": "0 per 1000000"
    }


def test_a_table_is_halved_for_batch() -> None:
    found = from_litellm({"m": {"tiered_pricing": ROWS[1:], "input_cost_per_token_batches": 1e-06}})
    assert rates(found, service_tier="batch")["output_tokens"] == "2 per 1000000"


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"input_cost_per_token": 1e-06}, "sizes of something else than the request"),
        ({"range": [0, 5]}, "sizes of something else than the request"),
        ({"range": [1, 5], "input_cost_per_token": 1e-06}, "sizes with a gap"),
        ({"range": [0, "a"], "input_cost_per_token": 1e-06}, "not a whole number of tokens"),
        ({"range": [0, 5], "input_cost_per_token": 1e-06, "fee": 1}, "does not read (fee)"),
        ([], "a row of tiered_pricing is [], and no object"),
    ],
)
def test_a_table_that_is_none_of_sizes_is_refused(row: object, reason: str) -> None:
    assert reason in refusal(from_litellm({"m": {"tiered_pricing": [row]}}))


def test_hours_off_peak_replace_rates_at_every_size() -> None:
    block = {"hours_utc": ["16:30-00:30"], "input_cost_per_token": 1e-06}
    found = from_litellm(
        one({"input_cost_per_token_above_200k_tokens": 4e-06, "off_peak_pricing": block})
    )
    times = {"16:29": 2, "16:30": 1, "00:29": 1, "00:30": 2}
    for clock, rate in times.items():
        at = f"2026-12-02T{clock}:00Z"
        assert amount(found, {"input_tokens": 1000}, at=at) * 1000 == rate
    large = {"input_tokens": 250_000}
    assert amount(found, large, at="2026-12-02T18:00:00Z") * 4 == 1
    assert amount(found, large, at="2026-12-02T12:00:00Z") * 4 == 4


def test_reasoning_off_peak_is_its_own_rate_or_that_of_output_off_peak() -> None:
    block = {"hours_utc": "00:00-00:00", "output_cost_per_token": 4e-06}
    found = from_litellm(one({"off_peak_pricing": block}))
    reasoning = {"output_tokens": MTOK, "output_reasoning_tokens": MTOK}
    assert amount(found, reasoning) == 4
    block["output_cost_per_reasoning_token"] = 6e-06
    assert amount(from_litellm(one({"off_peak_pricing": block})), reasoning) == 6


def test_weekdays_are_told_by_the_zone_and_hours_by_utc() -> None:
    # Saturday 16:30 UTC is Sunday 00:30 in Shanghai; Saturday 15:30 is Saturday 23:30 there.
    rule = {"hours_utc": "15:00-17:00", "weekdays": ["sat"]}
    block = {
        "windows": [rule],
        "weekday_timezone": "Asia/Shanghai",
        "input_cost_per_token": 1e-06,
    }
    found = from_litellm(one({"off_peak_pricing": block}))
    for at, rate in {"2026-12-05T15:30:00Z": 1, "2026-12-05T16:30:00Z": 2}.items():
        assert amount(found, {"input_tokens": MTOK}, at=at) == rate


@pytest.mark.parametrize(
    "block, reason",
    [
        ({"hours_utc": "25:00-01:00"}, "is not HH:MM"),
        ({"hours_utc": 5}, "hours_utc is 5, and no list"),
        ({"windows": [{"hours_utc": "00:00-01:00", "weekdays": [8]}]}, "does not read (8)"),
        ({"windows": [{"hours_utc": "00:00-01:00", "weekdays": [True]}]}, "does not read (True)"),
        ({"hours_utc": "00:00-01:00", "weekday_timezone": "Mars/A"}, "not an IANA time zone"),
        (
            {"hours_utc": "00:00-01:00", "weekday_timezone": "Europe/Berlin"},
            "weekdays of Europe/Berlin, which changes its clock",
        ),
        ({"hours_utc": "00:00-01:00", "fee": 1}, "does not read (fee)"),
    ],
)
def test_hours_that_cannot_be_read_are_refused(block: Json, reason: str) -> None:
    assert reason in refusal(from_litellm(one({"off_peak_pricing": block})))


def test_a_block_without_hours_changes_nothing() -> None:
    found = from_litellm(one({"off_peak_pricing": {"input_cost_per_token": 1e-06}}))
    assert rates(found)["input_tokens"] == "2 per 1000000"


def test_reasoning_in_a_service_tier_is_its_own_else_its_output_else_the_plain_one() -> None:
    fields = {
        "output_cost_per_reasoning_token": 3e-06,
        "output_cost_per_reasoning_token_priority": 4e-06,
        "output_cost_per_token_flex": 5e-06,
        "input_cost_per_token_balanced": 1e-06,
        "input_cost_per_token_batches": 1e-06,
    }
    found = from_litellm(one(fields))
    unit = "output_reasoning_tokens"
    by_tier = {tier: rates(found, service_tier=tier).get(unit) for tier in service_tiers(found)}
    assert by_tier == {
        "standard": "3 per 1000000",
        "batch": "1.5 per 1000000",
        "flex": None,
        "priority": "4 per 1000000",
        "balanced": "3 per 1000000",
    }


def test_output_that_is_images_alone_has_the_rate_of_image_tokens() -> None:
    found = from_litellm({"m": {"output_cost_per_token": 0, "output_cost_per_image_token": 3e-05}})
    assert rates(found)["output_tokens"] == "30 per 1000000"


def test_fireworks_reads_its_cache_at_half_of_the_input_rate_at_each_size() -> None:
    found = from_litellm(
        one(
            {
                "litellm_provider": "fireworks_ai",
                "input_cost_per_token_above_200k_tokens": 4e-06,
            }
        )
    )
    assert rates(found)["cache_read_tokens"] == "1 per 1000000"
    assert rates(found)["cache_read_tokens request_tokens>200000"] == "2 per 1000000"


def test_a_cached_token_of_a_modality_is_billed_as_cached() -> None:
    found = from_litellm(
        one({"cache_read_input_token_cost": 2e-07, "input_cost_per_audio_token": 8e-06})
    )
    units = {"input_tokens": 10, "cache_read_tokens": 10, "input_audio_tokens": 10}
    assert amount(found, {**units, "cache_audio_read_tokens": 10}) * MTOK == 2


def test_regions_endpoints_and_speed_multiply_tokens_and_never_tools() -> None:
    found = from_litellm(
        one(
            {
                "regional_endpoint_uplift_multiplier": 1.1,
                "provider_specific_entry": {"us": 1.5, "fast": 2, "other": "setting"},
                "search_context_cost_per_query": {"search_context_size_medium": 0.01},
            }
        )
    )
    found_rates = rates(found)
    key = "input_tokens endpoint=regional and speed=fast and region=us"
    assert found_rates[key] == "6.6 per 1000000"  # 2 * 1.1 * 1.5 * 2
    assert [key for key in found_rates if key.startswith("web_searches")] == ["web_searches"]


def test_a_request_is_served_in_one_region() -> None:
    found = from_litellm(
        one(
            {
                "regional_processing_uplift_multiplier_eu": 1.2,
                "regional_processing_uplift_multiplier_us": 1.1,
            }
        )
    )
    assert rates(found)["input_tokens region=eu"] == "2.4 per 1000000"
    assert rates(found)["input_tokens region=us"] == "2.2 per 1000000"


def test_a_cache_that_was_asked_for_has_its_own_rate() -> None:
    found = from_litellm(
        one({"explicit_cache_read_input_token_cost": 5e-07, "cache_read_input_token_cost": 4e-07})
    )
    assert rates(found)["cache_read_tokens cache=explicit"] == "0.5 per 1000000"


def test_a_name_that_no_model_may_have_is_refused() -> None:
    found = from_litellm({" m": PLAIN, "x" * 201: PLAIN, "ok": PLAIN})
    assert found.refused_by_reason == {"not a valid rate card": 2}
    assert [len(one.entry) for one in found.refused] == [2, 200]


def test_keys_that_are_no_models_and_entries_without_a_price_are_told_apart() -> None:
    found = from_litellm({"sample_spec": PLAIN, "free": {"mode": "chat"}, "m": PLAIN, "n": 5})
    assert [one.entry for one in found.refused] == ["sample_spec", "n"]
    assert found.without_price == ("free",)


def test_a_map_that_is_no_object_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"map\.json: must be an object of models"):
        import_litellm(b"[]", name="map.json", head=HEAD)
