"""The candidate book: rates on sums, determinism, the walk from a rate to its rows."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.measurement import Shape
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from pricing_rules.prices.price_book import PriceBook, load_price_book
from pricing_rules.prices.provenance import HardwareCost
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.policy import Policy
from tests.pricing_rules.cost.made_points import made_point
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    INPUTS,
    card_of,
    entry_of,
    made_book,
    made_factory,
    made_points,
    made_policy,
    made_rule,
    made_service_tier,
    measured,
    rate_of,
    set_to,
)

OUTPUT = {"units": ["output_tokens"]}
MARKUP = made_rule("markup", then={"action": "markup", "share": "0.5"})


def test_a_rate_is_its_floor_with_the_rules_on_top() -> None:
    # .515873015 x 1.5 = .7738095225, up to .773810
    book = made_book(rules=[MARKUP])
    assert rate_of(book, "output_tokens") == "0.77381"
    entry = entry_of(book, "output_tokens")
    assert [(s.rule, str(s.before), str(s.after)) for s in entry.steps] == [
        ("floor", "None", "0.515873015"),
        ("markup", "0.515873015", "0.7738095225"),
        ("round_up", "0.7738095225", "0.77381"),
    ]
    assert book.findings == ()


def test_the_book_names_its_series_inputs_and_moment() -> None:
    book = made_book()
    assert (book.series, book.number, book.currency) == ("made", 1, "USD")
    assert book.effective_from == EFFECTIVE_FROM
    assert book.published_at is None
    assert [(one.role, one.sha256) for one in book.derived_from] == [
        ("factory", "sha256:2"), ("measurement", "sha256:0"), ("policy", "sha256:1"),
    ]  # fmt: skip


def test_ladders_regions_and_dimensions_stand_in_the_book() -> None:
    bands = [{"up_to": 1000, "multiply": "1"}, {"multiply": "0.9"}]
    book = made_book(
        rules=[
            set_to("1", when=OUTPUT),
            made_rule("l", then={"action": "ladder", "id": "volume", "bands": bands}, when=OUTPUT),
            made_rule("eu", then={"action": "region", "region": "eu", "multiply": "2"}),
            made_rule(
                "partner",
                then={
                    "action": "dimension", "name": "channel", "value": "partner", "multiply": "3",
                },
            ),
        ]
    )  # fmt: skip
    assert book.dimensions == {"channel": ("partner",)}
    both = entry_of(book, "output_tokens", when="channel=partner and region=eu")
    assert both.rate is None
    assert both.ladder is not None
    # 1 x 2 x 3, and nine tenths of it
    assert [(band.up_to, str(band.rate)) for band in both.ladder.bands] == [
        (Decimal(1000), "6"), (None, "5.4"),
    ]  # fmt: skip
    assert [entry.when.text() for entry in card_of(book).rates[:4]] == [
        "", "region=eu", "channel=partner", "channel=partner and region=eu",
    ]  # fmt: skip


def test_a_policy_that_was_not_loaded_is_checked_all_the_same() -> None:
    policy = made_policy(rules=[set_to("1", when={"models": ["m"]})])
    renamed = policy.model_copy(
        update={"models": (policy.models[0].model_copy(update={"name": "n"}),)}
    )
    with pytest.raises(DocumentError) as caught:
        derive(
            made_factory(),
            policy=renamed,
            measurements=measured(),
            number=1,
            effective_from=EFFECTIVE_FROM,
            inputs=INPUTS,
        )
    assert str(caught.value) == (
        'policy rules[0].when.models[0]: "m" is not among models; write one of n'
    )


def test_the_book_survives_its_own_json() -> None:
    book = made_book(rules=[MARKUP])
    data = canonical_json(dump(book))
    assert load_json(PriceBook, data, name="book.json") == book
    assert load_price_book(data, name="book.json").digest is not None


POINTS = (
    *made_points(),
    *made_points("b200_sxm", fast_share=0.4, first_row=10),
    made_point(60, output=2400, shape=Shape(input_tokens=1000, output_tokens=8000), concurrency=8),
)
SERVICE_TIERS = [
    made_service_tier("batch"),
    made_service_tier("standard", promise=60),
    made_service_tier("priority", promise=110),
]


def two_kinds(*, turned: bool) -> Factory:
    hours = {"h100_sxm": "1.17", "b200_sxm": "1.73"}
    return made_factory(usd_per_hour=dict(sorted(hours.items(), reverse=turned)))


def derived(policy: Policy, *, factory: Factory, measurements: Measurements) -> bytes:
    book = derive(
        factory,
        policy=policy,
        measurements=measurements,
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=INPUTS,
    )
    return canonical_json(dump(book))


@settings(max_examples=25)  # each derives two whole books
@given(st.permutations(POINTS), st.booleans())
def test_the_same_documents_give_the_same_bytes_in_any_order(
    points: list[Any], turned: bool
) -> None:
    policy = made_policy(rules=[MARKUP], service_tiers=SERVICE_TIERS)
    first = derived(policy, factory=two_kinds(turned=False), measurements=measured(POINTS))
    again = derived(policy, factory=two_kinds(turned=turned), measurements=measured(points))
    assert first == again


def test_each_rate_walks_back_to_rows_and_weights() -> None:
    book = made_book(
        rules=[MARKUP],
        service_tiers=SERVICE_TIERS,
        factory=two_kinds(turned=False),
        measurements=measured(POINTS),
    )
    assert len(book.rate_cards) == 3
    for card in book.rate_cards:
        assert card.cost is not None
        floors = {floor.unit: floor for floor in card.cost.floors}
        assert sum(one.share_of_capacity for one in card.cost.hardware) == 1
        for entry in card.rates:
            assert all(left.after == right.before for left, right in pairwise(entry.steps))
            assert entry.steps[0].after == floors[entry.unit].floor
            assert entry.steps[-1].after == entry.rate
        assert cost_again(card.cost.hardware) == pytest.approx(
            [Fraction(floor.unit_cost_per_mtok) for floor in card.cost.floors], rel=1e-7
        )
        points = [p for one in card.cost.hardware for shape in one.shapes for p in shape.points]
        assert all(point.source.rows and point.source.sha256 for point in points)
        for one in card.cost.hardware:
            assert {sum(p.weight for p in shape.points) for shape in one.shapes} == {1}
    # At 110 a promise lies between the points at 60 and at 120: both are named.
    priority = card_of(book, service_tier="priority").cost
    assert priority is not None
    assert [len(shape.points) for shape in priority.hardware[0].shapes] == [2, 2]


def cost_again(hardware: tuple[HardwareCost, ...]) -> list[Fraction]:
    """Unit costs from what the book shows: sum of share x $/h / 3600 x us."""
    return [
        sum(
            (
                Fraction(one.share_of_capacity) * Fraction(one.usd_per_hour) / 3600 * Fraction(us)
                for one in hardware
                for us in [
                    (one.us_per_input_token, one.us_per_cached_token, one.us_per_output_token)[i]
                ]
            ),
            Fraction(0),
        )
        for i in range(3)
    ]
