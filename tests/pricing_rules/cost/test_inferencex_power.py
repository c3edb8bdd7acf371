"""Watts of InferenceX rows: what they are of, and that they are joules per token times tokens."""

from __future__ import annotations

import pytest

from tests.pricing_rules.cost.made_inferencex import API, POOLS, metered, one, refusal


def test_watts_of_the_whole_set_up_are_read_and_checked_against_joules() -> None:
    # 729 W / 810, 90 and 720 tokens/s: .9, 8.1 and 1.0125 J per token
    joules = {
        "joules_per_total_token": 0.9,
        "joules_per_output_token": 8.1,
        "joules_per_input_token": 1.0125,
    }
    power = {"power_valid": 1, "power_metric_schema_version": 2, "avg_power_w": 729.0}
    point = one(metered(API, **power, **joules))
    assert (point.power_w_per_accelerator, point.power_kind) == (729.0, "board")
    for key, value in joules.items():
        kind, reason = refusal(metered(API, **power, **joules | {key: value * 1.02}))
        assert kind == "implausible"
        assert key in reason


@pytest.mark.parametrize(
    "power",
    [
        {},
        {"power_metric_schema_version": 3},
        {"power_metric_schema_version": 2, "power_valid": 0},
        {"power_schema_version": 0},
    ],
)
def test_watts_of_which_nobody_knows_what_they_are_of_are_left_out_and_said(
    power: dict[str, int],
) -> None:
    point = one(metered(API, avg_power_w=729.0, joules_per_total_token=55.0, **power))
    assert (point.power_w_per_accelerator, point.power_kind) == (None, None)
    assert point.flags == ("power_refused",)


def test_version_2_divides_the_energy_of_both_pools() -> None:
    # 500 W on each of 32 are 16,000 W: / 2,880 out = 5.5556 J, / 23,040 in = .69444 J
    power = {"power_metric_schema_version": 2, "avg_power_w": 500.0}
    row = metered(
        API | POOLS, **power, joules_per_output_token=5.5556, joules_per_input_token=0.69444
    )
    assert one(row).power_w_per_accelerator == 500.0


def test_version_1_is_by_role_and_the_mean_is_over_both_pools() -> None:
    # 8 at 800 W and 24 at 400 W: 16,000 W / 32 = 500 W. By role: 6,400 W / 23,040 in = .27778 J,
    # 9,600 W / 2,880 out = 3.3333 J
    power = {
        "power_schema_version": 1,
        "avg_power_w": 999.0,
        "prefill_avg_power_w": 800.0,
        "decode_avg_power_w": 400.0,
        "joules_per_input_token": 0.27778,
        "joules_per_output_token": 3.3333,
    }
    point = one(metered(API | POOLS, **power))
    assert point.power_w_per_accelerator == pytest.approx(500.0)
    kind, reason = refusal(metered(API | POOLS, **power | {"joules_per_output_token": 5.5556}))
    assert (kind, "joules_per_output_token" in reason) == ("implausible", True)
    del power["decode_avg_power_w"]
    assert one(metered(API | POOLS, **power)).flags == ("power_refused",)


def test_a_version_without_watts_is_no_power_and_nothing_is_left_out() -> None:
    point = one(metered(API, power_metric_schema_version=2, power_valid=1))
    assert (point.power_w_per_accelerator, point.flags) == (None, ())
