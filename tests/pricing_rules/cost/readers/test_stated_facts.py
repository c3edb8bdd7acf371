"""What a person states of a measurement: how it is written, and how it is flagged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pricing_rules.cost.measurement import Parallelism
from pricing_rules.cost.readers.stated_facts import (
    FACTS,
    StatedFacts,
    iso_date,
    parse_parallelism,
    parse_role,
)
from tests.pricing_rules.cost.readers.made_runs import made_facts


def test_what_is_left_out_of_a_spread_is_one() -> None:
    assert parse_parallelism("tp8") == Parallelism(tp=8, pp=1, dp=1, moe_tp=1, moe_ep=1)
    spread = Parallelism(tp=2, pp=3, dp=4, moe_tp=1, moe_ep=8)  # 1 x 8 experts = 2 x 4 ranks
    assert parse_parallelism("dp4, pp3 moe_ep8 tp2") == spread
    assert parse_parallelism(spread.text) == spread


def test_a_pool_is_so_many_workers_of_one_spread() -> None:
    role = parse_role("4xtp8 moe_ep8")
    assert (role.workers, role.parallelism.text) == (4, "tp8 pp1 dp1 moe_tp1 moe_ep8")
    assert role.accelerators == 32


@pytest.mark.parametrize(
    "read, text, said",
    [
        (parse_parallelism, "", "is blank"),
        (parse_parallelism, "8", '"8" is no spread'),
        (parse_parallelism, "tp0", '"tp0" is no spread'),
        (parse_parallelism, "tp8 tp8", '"tp8 tp8" is no spread'),
        (parse_parallelism, "tp8 moe_ep4", "experts are spread over 4 accelerators, but tp x dp"),
        (parse_role, "tp8", "no pool of workers"),
        (parse_role, "0xtp8", "no pool of workers"),
        (parse_role, "4x", "is blank"),
        (iso_date, "13.02.2026", "is not a date; write it as 2026-02-13"),
        (iso_date, "2026-02-30", "day"),
        (iso_date, "20260213", "is not a date"),
    ],
)
def test_another_text_is_refused_with_how_to_write_it(
    read: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)


def test_what_is_stated_is_flagged_but_for_lengths_and_what_the_file_held() -> None:
    stated = made_facts(input_tokens=1000, output_tokens=100, measured_date="2026-02-13")
    assert stated.flags({"measured_date": "2026-02-13"}) == (
        "hardware_stated",
        "accelerators_stated",
        "parallelism_stated",
        "precision_stated",
        "framework_stated",
    )
    pools = StatedFacts(prefill=parse_role("1xtp4"), decode=parse_role("1xtp8"))
    assert pools.flags({}) == ("pools_stated",)


def test_every_fact_that_a_run_may_lack_can_be_stated() -> None:
    assert set(FACTS) <= set(StatedFacts.__dataclass_fields__)
