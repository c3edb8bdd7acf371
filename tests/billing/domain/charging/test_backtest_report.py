"""The document of a backtest shows exact figures as text, and they add up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from billing.domain.charging.backtest_report import (
    BacktestReport,
    RefusedInFile,
    UsageUsed,
    report_backtest,
)
from billing.domain.charging.report import EventCounts
from pricing_rules.document import DocumentError, dump, load_json
from pricing_rules.planning.gates import judge, parse_gates
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    books,
    costed_card,
    floor,
    run_backtest,
    used,
)

FLOORS = [floor("input_tokens", "0.7", lowest="1")]
BEFORE = books(
    costed_card({"input_tokens": "3", "output_tokens": "1"}),
    number=1,
    effective_from="2026-10-01T00:00:00Z",
)
AFTER = books(costed_card({"input_tokens": "0.9"}, FLOORS), number=2)


def report(gates: Sequence[str] = ()) -> BacktestReport:
    """1M in of acme, 3 before and 0.9 after, and 7 out, which the new book does not price."""
    found = run_backtest(
        [used({"input_tokens": MTOK, "output_tokens": 7}, events=4)], after=AFTER, before=BEFORE
    )
    return report_backtest(
        found,
        before=BEFORE,
        after=AFTER,
        usage=(UsageUsed(name="u.csv", sha256="0" * 64),),
        events=EventCounts(
            received=5,
            accepted=4,
            duplicate=0,
            conflict=0,
            rejected=1,
            outside_period=0,
            not_billable=0,
        ),
        refused=(RefusedInFile(file="u.csv", row=3, reason="row 3 is\x00 blank"),),
        gates=[judge(gate, found=found) for gate in parse_gates(gates)],
    )


def test_it_shows_both_sides_and_their_difference() -> None:
    document = dump(report())
    assert document["schema"] == "tokenworks.backtest/1"
    assert document["period"] == "2026-10-01T00:00:00Z/2026-12-01T00:00:00Z"
    assert document["total"] == {
        "events": 4,
        "before": {
            "revenue": "3.000007",
            "costed_revenue": "0",
            "cost": "0",
            "margin": "0",
        },
        "after": {
            "revenue": "0.9",
            "costed_revenue": "0.9",
            "cost": "0.7",
            "margin": "0.2",
            "margin_share": "2/9",
        },
        "change": "-2.100007",
        "change_share": "-2100007/3000007",
    }
    assert document["accounts"] == [{"account": "acme", **document["total"]}]
    assert document["rate_cards"] == [
        {"model": "m", "service_tier": "standard", **document["total"]}
    ]
    assert document["distribution"]["p50"] == "-2100007/3000007"
    assert document["distribution"]["paying_less"] == 1
    assert document["refused"] == [{"file": "u.csv", "row": 3, "reason": r"row 3 is\x00 blank"}]


def test_each_side_names_its_books_breaches_unpriced_usage_and_unused_rates() -> None:
    document = dump(report())
    after, before = document["after"], document["before"]
    assert [book["number"] for book in after["price_books"]] == [2]
    assert after["price_books"][0]["digest"] == AFTER.books[0].digest
    assert after["floor_breaches"] == [
        {
            "account": "acme",
            "model": "m",
            "service_tier": "standard",
            "revenue": "0.9",
            "floor": "1",
            "shortfall": "0.1",
        }
    ]
    (unpriced,) = after["unpriced"]
    assert (unpriced["account"], unpriced["unit"], unpriced["quantity"]) == (
        "acme",
        "output_tokens",
        7,
    )
    assert (before["floor_breaches"], before["unpriced"], before["unused_rates"]) == ([], [], [])


def test_gates_say_whether_they_trip() -> None:
    found = report(["revenue-falls=80%", "unpriced=0"])
    assert [(gate.gate, gate.trips) for gate in found.gates] == [
        ("revenue-falls=80%", False),
        ("unpriced=0", True),
    ]
    assert [gate.gate for gate in found.tripped] == ["unpriced=0"]


def test_rates_that_no_usage_meets_are_in_it() -> None:
    more = books(costed_card({"input_tokens": "1", "output_tokens": "1"}), number=2)
    found = run_backtest([used({"input_tokens": 1})], after=more, before=more)
    document = dump(
        report_backtest(
            found,
            before=more,
            after=more,
            usage=(),
            events=report().events,
            refused=(),
            gates=[],
        )
    )
    assert document["after"]["unused_rates"] == [
        {
            "book_number": 2,
            "model": "m",
            "service_tier": "standard",
            "unit": "output_tokens",
            "when": "",
        }
    ]


def test_it_reads_back_as_it_was_written() -> None:
    value = json.dumps(dump(report(["unpriced=0"]))).encode()
    assert load_json(BacktestReport, value, name="backtest.json") == report(["unpriced=0"])


@pytest.mark.parametrize("part", ["accounts", "rate_cards"])
def test_parts_that_do_not_add_up_are_refused(part: str) -> None:
    value: dict[str, Any] = dump(report())
    value[part][0]["change"] = "1"
    with pytest.raises(DocumentError) as found:
        load_json(BacktestReport, json.dumps(value).encode(), name="b")
    assert f"the changes of {part} do not add up to that of the total" in str(found.value)
