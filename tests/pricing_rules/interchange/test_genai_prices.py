"""The data of genai-prices, rule by rule: dates, times of day, variants, steps, refusals.

Invariant: each rule is seen on the smallest model that has it.
"""

from __future__ import annotations

import json

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.genai_prices import (
    import_genai_prices,
    import_genai_series,
    place_of,
    unsaid_part,
)
from pricing_rules.period import moment_text
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    amount,
    from_genai,
    rates,
    refusal,
    service_tiers,
)

MODEL = "p/m"
PLAIN: Json = {"input_mtok": "2", "output_mtok": "10"}
MTOK = 10**6


def test_a_price_is_per_so_many_of_its_unit() -> None:
    prices = {**PLAIN, "audio_hours": 3.6, "requests_kcount": "5", "cache_read_mtok": None}
    assert rates(from_genai({"prices": prices}), model=MODEL) == {
        "input_tokens": "2 per 1000000",
        "output_tokens": "10 per 1000000",
        "audio_seconds": "3.6 per 3600",
        "requests": "5 per 1000",
    }


def test_steps_are_strictly_over_their_start_in_whatever_order_they_stand() -> None:
    steps = [{"start": 300, "price": "4"}, {"start": 200, "price": "3"}]
    found = from_genai({"prices": {"input_mtok": {"base": "2", "tiers": steps}}})
    by_size = {n: amount(found, {"input_tokens": n}, model=MODEL) * MTOK / n for n in (200, 201)}
    assert by_size == {200: 2, 201: 3}
    assert amount(found, {"input_tokens": 301}, model=MODEL) * MTOK == 301 * 4


DATED: list[Json] = [
    {"prices": {"input_mtok": "1"}},
    {"constraint": {"start_date": "2026-06-01"}, "prices": {"input_mtok": "2"}},
    {"constraint": {"start_date": "2026-09-01"}, "prices": {"input_mtok": "3"}},
]


@pytest.mark.parametrize(
    "at, rate",
    [
        ("2026-05-31T23:59:59Z", 1),
        ("2026-06-01T00:00:00Z", 2),
        ("2026-08-31T23:59:59Z", 2),
        ("2026-09-01T00:00:00Z", 3),
    ],
)
def test_the_last_price_whose_date_has_come_holds(at: str, rate: int) -> None:
    found = from_genai({"prices": DATED}, at=at)
    assert amount(found, {"input_tokens": MTOK}, model=MODEL, at=at) == rate


def test_the_first_price_holds_where_no_date_has_come() -> None:
    found = from_genai({"prices": DATED[1:]}, at="2026-01-01T00:00:00Z")
    assert rates(found, model=MODEL) == {"input_tokens": "2 per 1000000"}


def test_times_of_day_with_one_price_are_one_window() -> None:
    hours = [("01:00:00Z", "04:00:00Z"), ("22:30:00", "00:30:00+00:00"), ("05:00", "05:00")]
    listed: list[Json] = [{"prices": {"input_mtok": "1"}}]
    for start, end in hours:
        constraint = {"start_time": start, "end_time": end}
        listed.append({"constraint": constraint, "prices": {"input_mtok": "2"}})
    found = from_genai({"prices": listed})
    assert found.book is not None
    assert list(found.book.windows) == ["window-1"]
    per_clock = {
        clock: amount(found, {"input_tokens": MTOK}, model=MODEL, at=f"2026-12-01T{clock}:00Z")
        for clock in ("00:29", "00:30", "00:59", "01:00", "03:59", "04:00", "05:00", "22:30")
    }
    assert per_clock == dict(zip(per_clock, (2, 1, 1, 2, 2, 1, 1, 2), strict=True))


def test_a_unit_without_a_price_at_night_takes_that_of_its_ancestor_then() -> None:
    night = {"start_time": "22:00", "end_time": "06:00"}
    listed = [
        {"prices": {"input_mtok": "4", "cache_read_mtok": "1"}},
        {"constraint": night, "prices": {"input_mtok": "2"}},
    ]
    found = from_genai({"prices": listed})
    cached = {"input_tokens": MTOK, "cache_read_tokens": MTOK}
    assert amount(found, cached, model=MODEL, at="2026-12-01T12:00:00Z") == 1
    assert amount(found, cached, model=MODEL, at="2026-12-01T23:00:00Z") == 2


def test_a_unit_that_loses_its_price_at_night_is_refused() -> None:
    night = {"start_time": "22:00", "end_time": "06:00"}
    listed = [
        {"prices": {"input_mtok": "4", "requests_kcount": "1"}},
        {"constraint": night, "prices": {"input_mtok": "2"}},
    ]
    reason = "a unit that loses its rate under some conditions (requests has none there)"
    assert refusal(from_genai({"prices": listed})) == reason


def test_a_unit_that_two_prices_claim_at_night_is_refused() -> None:
    night = {"start_time": "22:00", "end_time": "06:00"}
    joined = {"input_mtok": "4", "cache_read_mtok": "1", "input_audio_mtok": "2"}
    listed = [
        {"prices": {**joined, "cache_audio_read_mtok": "1"}},
        {"constraint": night, "prices": joined | {"input_mtok": "3"}},
    ]
    assert refusal(from_genai({"prices": listed})).startswith("a unit that two rates claim")


def test_variants_are_service_tiers_and_dimensions_and_the_first_match_wins() -> None:
    variants = [
        {"when": {"processing": "batch"}, "prices": {"input_mtok": "1"}},
        {"when": {"speed": "fast", "region": "eu"}, "prices": {"input_mtok": "9"}},
        {"when": {"speed": "fast"}, "prices": {"input_mtok": "4", "output_mtok": "20"}},
    ]
    found = from_genai({"prices": PLAIN, "price_variants": variants})
    assert service_tiers(found) == ["standard", "batch"]
    assert rates(found, model=MODEL) == {
        "input_tokens": "2 per 1000000",
        "input_tokens speed=fast": "4 per 1000000",
        "input_tokens speed=fast and region=eu": "9 per 1000000",
        "output_tokens": "10 per 1000000",
        "output_tokens speed=fast": "20 per 1000000",
    }
    # In batch, the variant of batch comes first for input; fast is the first with output.
    assert rates(found, model=MODEL, service_tier="batch") == {
        "input_tokens": "1 per 1000000",
        "output_tokens": "10 per 1000000",
        "output_tokens speed=fast": "20 per 1000000",
    }


def test_a_variant_is_sold_from_its_date_on() -> None:
    variant = {
        "when": {"service_tier": "flex"},
        "prices": {"input_mtok": "1"},
        "constraint": {"start_date": "2026-06-01"},
    }
    model = {"prices": PLAIN, "price_variants": [variant]}
    assert service_tiers(from_genai(model, at="2026-05-31T00:00:00Z")) == ["standard"]
    assert service_tiers(from_genai(model, at="2026-06-01T00:00:00Z")) == ["standard", "flex"]


@pytest.mark.parametrize("prices, tiers", [({}, []), ({"input_mtok": "1"}, ["default"])])
def test_the_default_service_tier_is_the_standard_one_unless_it_has_prices(
    prices: Json, tiers: list[str]
) -> None:
    variant = {"when": {"service_tier": "default"}, "prices": prices}
    found = from_genai({"prices": PLAIN, "price_variants": [variant]})
    assert service_tiers(found) == ["standard", *tiers]


def test_a_context_with_two_service_tiers_has_no_place() -> None:
    assert place_of({"speed": "fast"}) == ("standard", {"speed": "fast"})
    with pytest.raises(InexpressibleError, match="batch and flex"):
        place_of({"processing": "batch", "service_tier": "flex"})


@pytest.mark.parametrize(
    "model, reason",
    [
        ({"prices": {"input_liters": "1"}}, "a price of an unknown unit (input_liters)"),
        ({"prices": {"input_mtok": "free"}}, "input_mtok is 'free'"),
        ({"prices": {"input_mtok": {"tiers": []}}}, "input_mtok is None"),
        ({"prices": {"input_mtok": {"base": 1, "tiers": [{"start": -1}]}}}, "start is -1"),
        ({"prices": {"input_mtok": {"base": 1, "tiers": 5}}}, "input_mtok is 5, and no list"),
        ({"prices": "free"}, "prices is 'free', and no object"),
        ({"prices": [{"constraint": {"start_date": "soon"}}]}, "{'start_date': 'soon'}"),
        ({"prices": [{"constraint": {"start_time": "1:00"}}]}, "{'start_time': '1:00'}"),
        ({"prices": [{"constraint": {"moon": "full"}}]}, "{'moon': 'full'}"),
        (
            {
                "prices": PLAIN,
                "price_variants": [{"when": {"window": "x"}, "prices": {"input_mtok": "7"}}],
            },
            "not a valid rate card (window is no dimension)",
        ),
        (
            {
                "prices": PLAIN,
                "price_variants": [
                    {"when": {"processing": "flex"}, "prices": {}},
                    {"when": {"service_tier": "flex"}, "prices": {}},
                ],
            },
            "two service tiers of one name (flex)",
        ),
        (
            {
                "prices": PLAIN,
                "price_variants": [
                    {"when": {f"k{i}": "v"}, "prices": {"input_mtok": "1"}} for i in range(5)
                ],
            },
            "too many combinations of dimensions (k0, k1, k2, k3, k4)",
        ),
    ],
)
def test_what_a_book_cannot_say_is_refused_by_name(model: Json, reason: str) -> None:
    assert reason in refusal(from_genai(model))


def test_a_window_that_changes_nothing_is_none() -> None:
    night = {"start_time": "22:00", "end_time": "06:00"}
    listed = [{"prices": PLAIN}, {"constraint": night, "prices": PLAIN}]
    found = from_genai({"prices": listed})
    assert found.book is not None
    assert found.book.windows == {}


def test_ten_seconds_at_least_cannot_be_said() -> None:
    model = {"id": "whisper-large-v3", "prices": {"audio_hours": "0.1"}}
    data = json.dumps([{"id": "groq", "models": [model]}]).encode()
    found = import_genai_prices(data, name="d", head=HEAD)
    assert found.refused_by_reason == {"a least quantity in each request": 1}


def test_a_series_starts_in_1970_and_again_with_each_date() -> None:
    models = [{"id": "m", "prices": DATED}, {"id": "odd", "prices": "free"}]
    data = json.dumps([{"id": "p", "models": models}]).encode()
    series = import_genai_series(data, name="d", provider="p", series="p")
    books = [one.book for one in series if one.book is not None]
    assert [(book.number, moment_text(book.effective_from)) for book in books] == [
        (1, "1970-01-01T00:00:00Z"),
        (2, "2026-06-01T00:00:00Z"),
        (3, "2026-09-01T00:00:00Z"),
    ]
    assert [len(one.refused) for one in series] == [1, 1, 1]
    with pytest.raises(DocumentError, match='no models of a provider "q"'):
        import_genai_series(data, name="d", provider="q", series="q")


@pytest.mark.parametrize(
    "value, sentence",
    [
        ({}, r"d \[0\]: must be a provider"),
        ([{"id": "p"}], r"d \[0\]: must be a provider"),
        ([{"id": "p", "models": [{"id": 5}]}], r"d \[0\]\.models\[0\]: must be a model with an id"),
    ],
)
def test_a_file_that_is_no_such_data_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        import_genai_prices(json.dumps(value).encode(), name="d", head=HEAD)


def test_a_model_without_prices_is_listed_apart() -> None:
    found = from_genai({"prices": {}})
    assert (found.book, found.without_price) == (None, ("p/m",))


def test_what_genai_prices_asks_for_is_a_whole_of_each_part_and_each_overlap() -> None:
    priced = {"input_tokens", "cache_read_tokens", "input_audio_tokens", "requests"}
    assert unsaid_part({"input_tokens": 5}, priced=priced) is None
    assert unsaid_part({"output_tokens": 5, "cache_read_tokens": 0}, priced=priced) is None
    sentence = unsaid_part({"cache_read_tokens": 5}, priced=priced)
    assert sentence == "input_tokens is missing, and a part of it is reported: cache_read_tokens"
    three = {"input_tokens": 9, "output_tokens": 3, "web_searches": 1}
    assert unsaid_part(three, priced={*priced, "output_audio_tokens"}) is None
    both = {"input_tokens": 9, "cache_read_tokens": 5, "input_audio_tokens": 5}
    assert unsaid_part(both, priced=priced) is None
    sentence = unsaid_part(both, priced=priced | {"cache_audio_read_tokens"})
    assert sentence == (
        "cache_audio_read_tokens is missing, and it is the overlap of cache_read_tokens and "
        "input_audio_tokens"
    )
