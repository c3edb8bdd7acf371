"""Reading efficiency documents: nothing is stated twice, and nothing that is needed is missing."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.efficiency_document import load_efficiency
from tests.pricing_rules.planning.made_planning import counted, example, made_window
from tests.pricing_rules.rules.made_documents import figure

COUNTED = counted(good={"output_tokens": 10}, lost={"output_tokens": 1})
ALONE = counted(good={"output_tokens": 10})


def refusal(**changed: Any) -> str:
    with pytest.raises(DocumentError) as found:
        made_window(**changed)
    return str(found.value)


def test_the_example_is_the_worked_day() -> None:
    document = load_efficiency(example("efficiency_day.yaml"), name="efficiency_day.yaml")
    assert (document.accelerators, int(document.window_s)) == (100, 86_400)
    assert document.schema_ == "tokenworks.efficiency/1"


def test_shares_are_stated_or_follow_from_counts() -> None:
    assert made_window().tokens is None
    made_window(tokens=COUNTED, real_share=None, good_share=None)
    made_window(tokens=ALONE, real_share=None)
    assert "needs tokens, or real_share and good_share" in refusal(real_share=None)
    assert "needs tokens, or real_share and good_share" in refusal(good_share=None)
    assert "real_share follows from tokens" in refusal(tokens=ALONE)
    twice = "with tokens, state exactly one of tokens.lost"
    assert twice in refusal(tokens=COUNTED, real_share=None)
    assert twice in refusal(tokens=ALONE, real_share=None, good_share=None)


@pytest.mark.parametrize("end_at, fits", [("00:00:00Z", False), ("00:00:00.5Z", True)])
def test_a_window_ends_after_it_starts(end_at: str, fits: bool) -> None:
    text = f"2026-10-01T{end_at}"
    if fits:
        assert made_window(end_at=text).window_s * 2 == 1
    else:
        assert "end_at is not after start_at" in refusal(end_at=text)


@pytest.mark.parametrize(
    "energy, said",
    [
        ({}, "state exactly one of facility_mwh"),
        (
            {"facility_mwh": figure("1"), "facility_kw_per_accelerator": figure("1")},
            "state exactly one of facility_mwh",
        ),
        ({"it_kw_per_accelerator": figure("1")}, "pue belongs to it_kw_per_accelerator"),
        ({"facility_mwh": figure("1"), "pue": figure("1.1")}, "pue belongs to it_kw_per_acc"),
    ],
)
def test_power_has_one_denominator(energy: dict[str, Any], said: str) -> None:
    assert said in refusal(energy=energy)


def test_an_efficiency_of_nothing_is_refused() -> None:
    nothing = counted(good={}, lost={"output_tokens": 5})
    assert "tokens: good holds no token" in refusal(
        tokens=nothing, real_share=None, good_share=None
    )


@pytest.mark.parametrize(
    "tokens, is_read",
    # 1 GW of 1.6M tokens/s/MW makes 1.6e9 x 2,678,400 s = 4.3e15 tokens in October.
    [(4_285_440_000_000_000, True), (10**18, True), (10**18 + 1, False)],
)
def test_a_window_may_hold_what_a_gigawatt_makes(tokens: int, is_read: bool) -> None:
    made = {
        "tokens": counted(good={"output_tokens": tokens}, lost={}),
        "real_share": None,
        "good_share": None,
    }
    if is_read:
        assert made_window(**made).tokens is not None
    else:
        assert "tokens.good.output_tokens: " in refusal(**made)


def test_a_cost_of_nothing_makes_no_history() -> None:
    one = {"measured_date": "2026-01-01", "usd_per_mtok": "0", "source": "made up"}
    assert 'cost_history[0]: usd_per_mtok must be above 0, not "0"' in refusal(cost_history=[one])


def test_what_is_unknown_or_of_another_type_has_its_path() -> None:
    assert refusal(utilization="1").startswith("day.yaml:1 utilization: unknown field")
    assert refusal(accelerators=0).startswith("day.yaml:1 accelerators: ")
    assert "availability.value: must be at most 1" in refusal(availability=figure("1.1"))
