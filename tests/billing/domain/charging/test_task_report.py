"""The price of a task as a document: discounts of its month, floors, margins and findings."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.charging.task_report import TaskReport, report_task
from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.prices.task import price_task
from tests.billing.domain.made_charges import agreement, discount
from tests.pricing_rules.prices.made_books import Json
from tests.pricing_rules.prices.test_task import RATES, book_of, floor_of, task_of

FLOORS = [
    floor_of("input_tokens"),
    floor_of("cache_read_tokens", cost="0.1", floor="0.5"),
    floor_of("output_tokens", cost="4", floor="36"),
]
"""Floors 5, .50 and 36 under rates of 10, 1 and 40; costs 3, 1.2 and 9."""

OCTOBER, JANUARY = "2026-10-02T00:00:00Z", "2027-01-02T00:00:00Z"
ASK: Json = {"units": {"input_tokens": 1000, "output_tokens": 500}}
WHOLE = {"service_tiers": ["standard"]}


def reported(
    *requests: Json,
    terms: dict[str, Any] | None = None,
    floors: list[Json] | None = FLOORS,
    rates: list[Json] = RATES,
) -> TaskReport:
    """The report of a task, under an agreement of these terms where there are some."""
    priced = price_task(task_of(*requests), book=book_of(rates, floors=floors))
    agreed = None if terms is None else agreement({"series": "public", **terms})
    return report_task(priced, agreement=agreed)


def amounts(report: TaskReport) -> dict[str, Any]:
    return dump(report.amounts)


def test_a_task_at_list_rates_adds_up_with_its_floor_cost_and_margin() -> None:
    report = reported({**ASK, "count": 2}, {"units": {"output_tokens": 1000}})
    # r0: 2 x (1,000 at 10 + 500 at 40) = .06; r1: 1,000 at 40 = .04. Floors: 2 x (.005 + .018) =
    # .046 and .036; costs: 2 x (.003 + .0045) = .015 and .009. Margin: (.1 - .024) / .1.
    assert amounts(report) == {
        "list_amount": "0.1",
        "discount_amount": "0",
        "amount": "0.1",
        "floor_amount": "0.082",
        "cost_amount": "0.024",
        "margin_percent": "76",
    }
    assert [dump(line.amounts)["amount"] for line in report.requests] == ["0.06", "0.04"]
    assert [dump(line.amounts)["margin_percent"] for line in report.requests] == ["75", "77.5"]
    assert (report.agreement, report.findings) == (None, ())
    assert report.price_book.digest == book_of(floors=FLOORS).digest
    canonical_json(dump(report))  # no float in it


def test_discounts_are_those_of_the_month_of_each_request() -> None:
    pilot = discount("5", {"units": ["input_tokens"], "ramp": [{"from_month": 4, "percent": "50"}]})
    terms = {"discounts": [pilot, discount("10", {"id": "flat"})]}
    report = reported({**ASK, "at": OCTOBER}, {**ASK, "at": JANUARY}, terms=terms)
    # .01 of input less 15 % and .02 of output less 10 % is .0265; from January on the input is
    # less 60 %, and both are .022.
    assert [dump(line.amounts)["amount"] for line in report.requests] == ["0.0265", "0.022"]
    shown = [[str(unit.discount_percent) for unit in line.units] for line in report.requests]
    assert shown == [["15", "10"], ["60", "10"]]
    assert amounts(report)["discount_amount"] == "0.0115"
    assert dump(report)["agreement"] == {"account": "acme", "version": 3}


@pytest.mark.parametrize(
    "percent, findings",
    [
        ("9.99", []),  # 40 less 9.99 % is 36.004
        ("10", []),  # 36, at the floor
        ("10.01", ["r0: 0.017998 USD a task is under its floor of 0.018"]),
    ],
    ids=["over", "at", "under"],
)
def test_a_line_under_its_floor_is_a_finding(percent: str, findings: list[str]) -> None:
    terms = {"discounts": [discount(percent)]}
    report = reported({"units": {"output_tokens": 500}}, terms=terms)
    assert list(report.findings) == findings


def test_a_unit_without_measured_cost_leaves_its_line_and_the_task_without_a_floor() -> None:
    searches = {"unit": "web_searches", "rate": "10", "per": 1000}
    search = {"units": {"input_tokens": 1000, "web_searches": 1}}
    report = reported(ASK, search, rates=[*RATES, searches])
    assert [line.cost_none for line in report.requests] == [(), ("web_searches",)]
    assert amounts(report) == {"list_amount": "0.05", "discount_amount": "0", "amount": "0.05"}
    assert dump(report.requests[0].amounts)["margin_percent"] == "75"
    assert "floor_amount" not in dump(report.requests[1].amounts)


def test_what_is_free_has_no_margin_and_is_under_its_floor() -> None:
    report = reported({"units": {"output_tokens": 500}}, terms={"discounts": [discount("100")]})
    assert amounts(report) == {
        "list_amount": "0.02",
        "discount_amount": "0.02",
        "amount": "0",
        "floor_amount": "0.018",
        "cost_amount": "0.0045",
    }
    assert report.findings == ("r0: 0 USD a task is under its floor of 0.018",)


def test_a_margin_is_cut_to_four_decimals_and_may_be_negative() -> None:
    # 40 less 90 % is 4 under a cost of 9: (4 - 9) / 4 = -125 %. 10 over 3: 70 %; 7 over 3: 4/7.
    loss = reported({"units": {"output_tokens": 500}}, terms={"discounts": [discount("90")]})
    assert amounts(loss)["margin_percent"] == "-125"
    seventh = reported({"units": {"input_tokens": 500}}, terms={"discounts": [discount("30")]})
    assert amounts(seventh)["margin_percent"] == "57.1428"


@pytest.mark.parametrize(
    "terms, fields, where, sentence",
    [
        (
            {"series": "other"},
            {},
            "agreement",
            "follows other in USD, but the price book is public",
        ),
        (
            {"currency": "EUR"},
            {},
            "agreement",
            "follows public in EUR, but the price book is publi",
        ),
        (
            {"served_in": {"regions": ["us"], **WHOLE}},
            {"region": "eu"},
            "request r0",
            "is served in standard in eu, which the agreement of acme does not name in served_in",
        ),
        ({"served_in": {"regions": ["us"]}}, {}, "request r0", "in no named region, which the"),
        (
            {"discounts": [discount("5", {"ramp": [{"from_month": 2, "percent": "6"}]})]},
            {},
            "request r0",
            "its discounts change from month to month; say at which moment it is made",
        ),
        (
            {"effective_from": "2026-10-03T00:00:00Z"},
            {"at": OCTOBER},
            "request r0",
            "is made at 2026-10-02T00:00:00Z, before the agreement is in effect",
        ),
    ],
)
def test_a_request_that_the_agreement_is_not_for_is_refused(
    terms: Json, fields: Json, where: str, sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        reported({**ASK, **fields}, terms=terms)
    assert refused.value.where == where
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "terms, fields",
    [
        ({"served_in": {"regions": ["us"], **WHOLE}}, {"region": "us"}),
        ({"served_in": WHOLE}, {}),
        ({"effective_from": "2026-10-02T00:00:00Z"}, {"at": OCTOBER}),
    ],
)
def test_a_request_that_the_agreement_is_for_is_priced(terms: Json, fields: Json) -> None:
    terms = {**terms, "discounts": [discount("10")]}
    assert amounts(reported({**ASK, **fields}, terms=terms))["amount"] == "0.027"


@given(
    counts=st.lists(
        st.tuples(st.integers(1, 99), st.integers(1, 10**6), st.integers(0, 10**6)),
        min_size=1,
        max_size=3,
    ),
    percents=st.lists(st.integers(1, 33), max_size=3, unique=True),
)
def test_units_add_up_to_lines_and_lines_to_the_task(
    counts: list[tuple[int, int, int]], percents: list[int]
) -> None:
    requests = [
        {"count": count, "units": {"input_tokens": tokens_in, "output_tokens": tokens_out}}
        for count, tokens_in, tokens_out in counts
    ]
    terms = {"discounts": [discount(str(percent)) for percent in percents]}
    report = reported(*requests, terms=terms)
    for name in ("list_amount", "discount_amount", "amount", "floor_amount", "cost_amount"):
        lines = [getattr(line.amounts, name) for line in report.requests]
        units = [getattr(unit.amounts, name) for line in report.requests for unit in line.units]
        assert sum(units, Fraction(0)) == sum(lines) == getattr(report.amounts, name)
    assert report.amounts.amount == report.amounts.list_amount - report.amounts.discount_amount
    assert report.amounts.discount_amount == report.amounts.list_amount * sum(percents) / 100
