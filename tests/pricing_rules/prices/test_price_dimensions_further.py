"""What a price can depend on beside tokens: dimensions 19 to 32, each with its figure and sum.

What this version cannot rate has a line here, too, with what is done instead.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pricing_rules.document import DocumentError
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, in_force, read_book
from tests.pricing_rules.prices.made_dimensions import K, M, book, book_of_cards, price, rate


def test_19_sessions_and_storage_of_tools() -> None:
    azure = book(
        rate("code_sessions", "0.033", per=1),
        rate("storage_gb_days", "0.10", per=1),
        allowances=[
            {"id": "first-gb", "units": ["storage_gb_days"], "quantity": 1, "reset": "day"}
        ],
    )
    # One session, and 2.5 GB for a day of which one is free: 0.033 + 1.5 x 0.10.
    counts = {"code_sessions": 1, "storage_gb_days": "2.5"}
    assert price(azure, counts) == Fraction("0.183")


def test_20_a_free_allowance_that_models_share() -> None:
    cards = [card_json([rate("web_searches", "14", per=K)], model=m) for m in ("pro", "flash")]
    free: Json = {
        "id": "gemini-3",
        "units": ["web_searches"],
        "models": ["pro", "flash"],
        "quantity": 5000,
        "reset": "month",
    }
    gemini = read_book({**book_json(cards), "allowances": [free]})
    assert price(gemini, {"web_searches": 5000}, model="pro") == 0
    assert price(gemini, {"web_searches": 6000}, model="flash") == 14  # the last 1,000


def test_21_a_free_service_tier_is_a_rate_of_zero_and_rate_limits_are_no_price() -> None:
    free = book(rate("input_tokens", "0"), rate("output_tokens", "0"))
    assert price(free, {"input_tokens": M, "output_tokens": M}) == 0
    with pytest.raises(DocumentError, match="rpm: unknown field; remove it"):
        book(rate("input_tokens", "0"), rpm=60)


@pytest.mark.parametrize(
    "unit, amount, per, count, total",
    [
        ("audio_seconds", "0.0001", 1, "90.5", "0.00905"),
        ("input_characters", "15", M, 2000, "0.03"),
        ("input_document_pages", "1", K, 7, "0.007"),
        ("input_annotated_document_pages", "3", K, 7, "0.021"),
        ("output_pixels", "0.019", M, 1024 * 1024, "0.019922944"),
        ("rerank_searches", "2", K, 3, "0.006"),
        ("guardrail_units", "0.15", K, 4, "0.0006"),
        ("databricks_units", "0.07", 1, "1.5", "0.105"),
        ("songs", "0.08", 1, 2, "0.16"),
        ("input_text_messages", "1", K, 3, "0.003"),
    ],
)
def test_22_units_that_are_no_tokens(
    unit: str, amount: str, per: int, count: object, total: str
) -> None:
    assert price(book(rate(unit, amount, per=per)), {unit: count}) == Fraction(total)


@pytest.mark.parametrize(
    "size, quality, amount",
    [("1024x1024", "low", "0.011"), ("1024x1024", "high", "0.167"), ("1536x1024", "high", "0.25")],
)
def test_22_images_by_size_and_quality_are_declared_dimensions(
    size: str, quality: str, amount: str
) -> None:
    listed = [("1024x1024", "low", "0.011"), ("1024x1024", "high", "0.167"),
              ("1536x1024", "high", "0.25")]  # fmt: skip
    image = book(
        *(
            rate("output_images", one, per=1, when={"dimensions": {"size": s, "quality": q}})
            for s, q, one in listed
        ),
        dimensions={"size": ["1024x1024", "1536x1024"], "quality": ["low", "high"]},
    )
    found = price(image, {"output_images": 3}, dimensions={"size": size, "quality": quality})
    assert found == 3 * Fraction(amount)


def test_22_video_seconds_by_resolution() -> None:
    listed = {"480p": "0.05", "720p": "0.10", "1080p": "0.20", "4k": "0.40"}
    video = book(
        *(
            rate("output_video_seconds", one, per=1, when={"dimensions": {"resolution": name}})
            for name, one in listed.items()
        ),
        dimensions={"resolution": [*listed]},
    )
    for name, one in listed.items():
        found = price(video, {"output_video_seconds": "7.5"}, dimensions={"resolution": name})
        assert found == Fraction("7.5") * Fraction(one)


def test_23_a_fine_tuned_model_is_a_card_of_its_own() -> None:
    cards = [
        card_json([rate("input_tokens", "2.50"), rate("output_tokens", "10")]),
        card_json([rate("input_tokens", "3.75"), rate("output_tokens", "15")], model="ft:m"),
    ]
    found = read_book(book_json(cards))
    counts = {"input_tokens": M, "output_tokens": M}
    assert price(found, counts, model="ft:m") == Fraction("18.75")  # 1.5 x 12.50
    assert price(found, counts) == Fraction("12.5")


def test_24_capacity_is_charged_by_units_and_time_and_makes_tokens_free() -> None:
    reserved = book_of_cards(
        {
            "standard": [rate("input_tokens", "1")],
            "reserved": [
                rate("capacity_unit_seconds", "0.001902", per=1),
                rate("input_tokens", "0"),
            ],
        }
    )
    # 2 units for one hour, reported by the meter of capacity; the tokens in it are free.
    counts = {"capacity_unit_seconds": 2 * 3600, "input_tokens": 50 * M}
    assert price(reserved, counts, service_tier="reserved") == Fraction("13.6944")


def test_25_a_volume_discount_is_a_ladder() -> None:
    steps = [{"up_to": 100 * M, "rate": "2"}, {"rate": "1.60"}]
    found = book({"unit": "input_tokens", "ladder": {"id": "v", "kind": "volume", "bands": steps}})
    assert price(found, {"input_tokens": 100 * M}) == 200
    assert price(found, {"input_tokens": 200 * M}) == 320  # all of it at 1.60


def test_26_a_platform_fee_is_a_percentage_of_what_passes_through() -> None:
    fee: Json = {"id": "fee", "kind": "percentage", "bands": [{"rate": "5.5"}]}
    router = book({"unit": "passthrough_spend", "ladder": fee})
    assert price(router, {"passthrough_spend": "20"}) == Fraction("1.1")  # 5.5 % of 20


def test_27_a_router_that_adds_to_the_routed_model_is_written_out_into_its_rate() -> None:
    # A surcharge is an amount, and a book knows factors only: 2.50 + 0.14 stands in the card of the
    # routed service tier, and the other one keeps its rate.
    routed = book_of_cards(
        {
            "standard": [rate("input_tokens", "2.50")],
            "routed": [rate("input_tokens", "2.64")],
        }
    )
    assert price(routed, {"input_tokens": M}, service_tier="routed") == Fraction("2.64")


def test_28_a_least_quantity_for_each_event_is_no_part_of_a_book() -> None:
    # Groq counts at least 10 s of a request. Totals are sums over events, so that what each event
    # had is gone when a rate meets them: the gateway reports 10 s, and the field is refused.
    whisper: Json = rate("audio_seconds", "0.0001", per=1)
    with pytest.raises(DocumentError) as refused:
        book({**whisper, "minimum": 10})
    assert str(refused.value) == (
        "book.json rate_cards[0].rates[0].minimum: unknown field; remove it or check its spelling"
    )
    assert price(book(whisper), {"audio_seconds": 10}) == Fraction("0.001")


def test_28_the_first_images_are_free_in_each_period() -> None:
    free: Json = {"id": "first", "units": ["input_images"], "quantity": 5}
    found = book(rate("input_images", "0.01", per=1), allowances=[free])
    assert price(found, {"input_images": 7}) == Fraction("0.02")


def test_29_a_part_that_another_model_did_is_an_event_of_that_model() -> None:
    cards = [
        card_json([rate("output_tokens", "25")]),
        card_json([rate("output_tokens", "5")], model="advisor"),
    ]
    found = read_book(book_json(cards))
    # One response of 1,000 tokens of which the advisor wrote 400: two events.
    own = price(found, {"output_tokens": 600})
    advised = price(found, {"output_tokens": 400}, model="advisor")
    assert own + advised == Fraction("0.017")  # 600 x 25 + 400 x 5 = 17,000 in a million


@pytest.mark.parametrize("dimension, value", [("api", "decisions"), ("search_type", "fast")])
def test_30_and_31_the_flavour_of_an_endpoint_is_a_declared_dimension(
    dimension: str, value: str
) -> None:
    found = book(
        rate("output_tokens", "8"),
        rate("output_tokens", "0", when={"dimensions": {dimension: value}}),
        dimensions={dimension: [value, "other"]},
    )
    assert price(found, {"output_tokens": M}, dimensions={dimension: value}) == 0
    assert price(found, {"output_tokens": M}, dimensions={dimension: "other"}) == 8


def test_32_a_book_has_one_currency_and_an_account_pays_in_it() -> None:
    yen = book(rate("input_tokens", "450"), currency="JPY")
    assert price(yen, {"input_tokens": 1000}) == Fraction("0.45")
    with pytest.raises(DocumentError, match="do not mix; give the books of one series"):
        in_force(yen, read_book(book_json([card_json([rate("input_tokens", "3")])], number=2)))
