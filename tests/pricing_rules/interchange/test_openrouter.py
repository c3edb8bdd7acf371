"""OpenRouter's pricing, rule by rule: units, overrides and their order, refusals, and back.

Invariant: the later of two overrides that apply wins for each price that it names.
"""

from __future__ import annotations

import json

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.interchange.openrouter import export_openrouter, import_openrouter
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    amount,
    book_of,
    from_openrouter,
    rates,
    refusal,
)

MODEL = "a/b"
MTOK = 10**6
PLAIN: Json = {"prompt": "0.000002", "completion": "0.00001"}


def test_prices_are_per_token_and_per_image_search_and_request() -> None:
    pricing = {**PLAIN, "request": "0.005", "image": "0.003", "web_search": "0.01", "audio": None}
    assert rates(from_openrouter({**pricing, "discount": "0"}), model=MODEL) == {
        "input_tokens": "2 per 1000000",
        "output_tokens": "10 per 1000000",
        "requests": "0.005 per 1",
        "input_images": "0.003 per 1",
        "web_searches": "0.01 per 1",
    }


def test_an_override_is_strictly_over_its_size_and_a_later_one_wins() -> None:
    overrides = [
        {"min_prompt_tokens": 200_000, "prompt": "0.000004", "completion": "0.00002"},
        {"min_prompt_tokens": 100_000, "prompt": "0.000003"},
    ]
    found = from_openrouter({**PLAIN, "overrides": overrides})
    by_size = {
        n: amount(found, {"input_tokens": n}, model=MODEL) * MTOK / n
        for n in (100_000, 100_001, 200_000, 200_001)
    }
    # The later one wins for prompt over 200k, too.
    assert by_size == {100_000: 2, 100_001: 3, 200_000: 3, 200_001: 3}
    assert amount(found, {"output_tokens": MTOK}, model=MODEL, size=200_001) == 20


@pytest.mark.parametrize("days", [[5, 6, 0], ["fri", "Saturday", "SUN"], [5, 6, 7]])
def test_hours_wrap_around_midnight_on_the_days_that_are_named(days: list[object]) -> None:
    night = {"utc_start": "2200", "utc_end": "0600", "utc_days": days, "prompt": "0.000001"}
    found = from_openrouter({**PLAIN, "overrides": [night]})
    # 2026-12-03 is a Thursday: its night ends where Friday begins to be named.
    times = {
        "2026-12-03T23:59:59Z": 2,
        "2026-12-04T00:00:00Z": 1,
        "2026-12-04T05:59:59Z": 1,
        "2026-12-04T06:00:00Z": 2,
        "2026-12-04T22:00:00Z": 1,
        "2026-12-06T23:59:59Z": 1,
        "2026-12-07T00:00:00Z": 2,
    }
    for at, rate in times.items():
        assert amount(found, {"input_tokens": MTOK}, model=MODEL, at=at) == rate, at


def test_overlapping_times_take_the_later_override_and_the_same_prices_are_one_window() -> None:
    overrides = [
        {"utc_start": "0000", "utc_end": "0400", "prompt": "0.000001"},
        {"utc_start": "0300", "utc_end": "0500", "prompt": "0.000003"},
        {"utc_start": "2000", "utc_end": "2100", "prompt": "0.000001"},
        {"utc_start": "1000", "utc_end": "1100", "prompt": "0.000002"},
    ]
    found = from_openrouter({**PLAIN, "overrides": overrides})
    assert set(book_of(found).windows) == {"window-1", "window-2"}
    clocks = {"02:59": 1, "03:00": 3, "04:30": 3, "05:00": 2, "20:30": 1, "10:30": 2}
    for clock, rate in clocks.items():
        at = f"2026-12-01T{clock}:00Z"
        assert amount(found, {"input_tokens": MTOK}, model=MODEL, at=at) == rate


def test_reasoning_for_nothing_beside_a_completion_price_is_billed_as_completion() -> None:
    found = from_openrouter({**PLAIN, "internal_reasoning": "0"})
    reasoning = {"output_tokens": MTOK, "output_reasoning_tokens": MTOK}
    assert amount(found, reasoning, model=MODEL) == 10
    assert len(found.notes) == 1
    apart = from_openrouter({**PLAIN, "internal_reasoning": "0.000003"})
    assert amount(apart, reasoning, model=MODEL) == 3
    free = from_openrouter({"completion": "0", "internal_reasoning": "0"})
    assert amount(free, reasoning, model=MODEL) == 0
    assert not free.notes


@pytest.mark.parametrize(
    "pricing, reason",
    [
        ({"prompt": "-1"}, "a price that is known only after routing (prompt is '-1')"),
        ({"prompt": "?"}, "not a price that a number can say (prompt is '?')"),
        ({**PLAIN, "fee": "1"}, "a price that this import does not read (fee)"),
        ({**PLAIN, "discount": 0.1}, "a discount (whether the prices hold it already is not said)"),
        ({**PLAIN, "discount": []}, "a discount"),
        ({**PLAIN, "overrides": 5}, "overrides is 5, and no list"),
        ({**PLAIN, "overrides": [5]}, "an override is 5, and no object"),
        ({**PLAIN, "overrides": [{"min_prompt_tokens": "9"}]}, "min_prompt_tokens is '9'"),
        ({**PLAIN, "overrides": [{"utc_start": "9"}]}, "'9' is not HH:MM"),
        ({**PLAIN, "overrides": [{"utc_days": [8]}]}, "does not read (8)"),
        ({**PLAIN, "overrides": [{"utc_days": ["day"]}]}, "does not read ('day')"),
    ],
)
def test_what_a_book_cannot_say_is_refused_by_name(pricing: Json, reason: str) -> None:
    assert reason in refusal(from_openrouter(pricing))


@pytest.mark.parametrize("pricing", [None, {}, {"discount": 0}, 5])
def test_a_model_without_a_price_is_listed_apart(pricing: object) -> None:
    assert from_openrouter(pricing).without_price == (MODEL,)


@pytest.mark.parametrize("value", [5, {"data": 5}, [5], [{"id": 5}]])
def test_a_file_that_is_no_list_of_models_is_refused(value: object) -> None:
    with pytest.raises(DocumentError, match="must be"):
        import_openrouter(json.dumps(value).encode(), name="m.json", head=HEAD)


def test_prices_go_out_as_texts_per_token_with_their_overrides() -> None:
    weekend = {"utc_days": [6, 0], "prompt": "0.000001"}
    over = {"min_prompt_tokens": 200_000, "prompt": "0.000004"}
    found = from_openrouter({**PLAIN, "overrides": [over, weekend]})
    (model,) = json.loads(export_openrouter(book_of(found)))["data"]
    assert model == {"id": MODEL, "pricing": {**PLAIN, "overrides": [over, weekend]}}
