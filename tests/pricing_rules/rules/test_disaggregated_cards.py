"""Cards that rest on disaggregated set-ups: floors, findings, and the walk down to rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from pricing_rules.cost.measurement import Shape
from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.document import DocumentError
from pricing_rules.prices.explain import Step, explain_unit
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.cost.made_points import made_disaggregated, made_point
from tests.pricing_rules.rules.made_documents import (
    LONG,
    SHORT,
    card_of,
    finding_ids,
    made_book,
    made_factory,
    measured,
    rate_of,
)


def of_pools(*outputs: tuple[Shape, float]) -> Measurements:
    """Points of 1 + 3 accelerators at 60 tokens/s per user."""
    setup = made_disaggregated("gb200", prefill=1, decode=3)
    return measured(
        [
            made_point(60, output=output, setup=setup, shape=shape, row=row)
            for row, (shape, output) in enumerate(outputs, start=2)
        ]
    )


def book_of(measurements: Measurements) -> PriceBook:
    return made_book(
        factory=made_factory(usd_per_hour={"gb200": "3.60"}), measurements=measurements
    )


def walked(step: Step) -> Iterator[Step]:
    yield step
    for below in step.rests_on:
        yield from walked(below)


def test_a_card_is_priced_from_the_pools_and_the_walk_names_them_and_the_row() -> None:
    # 1k/1k at 500 tokens/s takes 2 s of 4 accelerators: .5 s of prefill, 1.5 s of decode. At .001 $
    # a second: .50 and 1.50 $/M; half sold and 20 % margin: .50/.5/.8 = 1.25 and 1.50/.5/.8 = 3.75
    book = book_of(of_pools((SHORT, 500)))
    assert rate_of(book, "input_tokens") == "1.25"
    assert rate_of(book, "output_tokens") == "3.75"
    cost = card_of(book).cost
    assert cost is not None
    assert [(one.hardware, one.fit) for one in cost.hardware] == [("gb200", "roles")]
    sentences = [
        step.sentence
        for step in walked(
            explain_unit(book, model="m", service_tier="standard", unit="output_tokens")
        )
    ]
    assert any("on 1+3 gb200" in one and "decode 3 workers" in one for one in sentences)
    assert any(one.startswith("roles: 500 us per input") for one in sentences)
    assert any("made.csv row 2, measured 2026-03-01" in one for one in sentences)


def test_what_the_split_by_role_charges_over_a_shape_is_a_finding() -> None:
    # 1k/1k in 2 s and 8k/1k in 4 s: a = 500 and b = 3000 charge 3.5 for 2, as in the shape fit
    book = book_of(of_pools((SHORT, 500), (LONG, 250)))
    (found,) = (one for one in book.findings if one.kind == "overcharge")
    assert found.sentence.endswith(
        "on gb200: the split by roles charges one measured shape 75 % more than it took"
    )
    cost = card_of(book).cost
    assert cost is not None
    (hardware,) = cost.hardware
    assert [str(shape.fitted_accelerator_seconds_per_request) for shape in hardware.shapes] == [
        "3.5",
        "7",
    ]


def test_one_measured_shape_is_priced_from_and_everything_else_is_an_extrapolation() -> None:
    at_shape = book_of(of_pools((SHORT, 500)))
    assert finding_ids(at_shape, kind="extrapolated") == []
    elsewhere = book_of(of_pools((LONG, 250)))
    assert finding_ids(elsewhere, kind="extrapolated") == [
        "extrapolated:m/standard/reference_shape"
    ]


def test_a_promise_over_what_the_pools_reach_leaves_no_rates() -> None:
    slow = measured(
        [made_point(59, output=500, setup=made_disaggregated("gb200", prefill=1, decode=3))]
    )
    with pytest.raises(DocumentError, match=r"reach 59\.0 tokens/s per user at most"):
        book_of(slow)


def test_a_real_model_on_gb200_is_priced_from_its_pools() -> None:
    spec = importlib.util.find_spec("aiconfigurator_core")
    if spec is None or spec.origin is None:
        pytest.skip("aiconfigurator_core is not installed")
    data = (Path(spec.origin).parent / "systems" / "silicon_sample.csv").read_bytes()
    book = made_book(
        factory=made_factory(usd_per_hour={"gb200": "1.86"}, models=["Kimi-K2.5"]),
        measurements=read_silicon_sample(data, name="silicon_sample.csv"),
        changed={
            "models": [{"name": "Kimi-K2.5", "precision": "fp4"}],
            "reference_shape": {"input_tokens": 8192, "output_tokens": 1024},
        },
    )
    cost = card_of(book, model="Kimi-K2.5").cost
    assert cost is not None
    (hardware,) = cost.hardware
    assert (hardware.fit, len(hardware.shapes)) == ("roles", 1)
    (shape,) = hardware.shapes
    assert (shape.input_tokens, shape.output_tokens) == (8192, 1024)
    # One shape: what its two roles take is what it took.
    took = float(shape.accelerator_seconds_per_request)
    charged = (
        float(hardware.us_per_input_token) * 0.9 * 8192
        + float(hardware.us_per_output_token) * 0.9 * 1024
    ) / 1e6
    assert charged == pytest.approx(took, rel=1e-7)
    lines = data.decode().split("\n")
    for point in shape.points:
        for row in point.source.rows:
            assert "Kimi-K2.5,gb200,fp4,disagg,8192,1024" in lines[row - 1]
