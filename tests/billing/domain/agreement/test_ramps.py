"""Discounts that change from month to month, and where an account is served."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import billing_period_at
from pricing_rules.document import DocumentError, canonical_json, dump, load_yaml
from pricing_rules.period import moment_text, parse_moment
from tests.billing.domain.made_charges import agreement, discount

Steps = list[tuple[int, str]]


def ramped(percent: str, *steps: tuple[int, str], id_: str = "r", **scope: Any) -> dict[str, Any]:
    ramp = [{"from_month": month, "percent": later} for month, later in steps]
    return discount(percent, {"id": id_, "ramp": ramp, **scope})


PILOT = agreement({"discounts": [ramped("25", (4, "10"), (7, "0"))]})
"""In effect from 2026-10-01 in UTC, so that months are calendar months: month 4 is January."""


@pytest.mark.parametrize(
    "at, month, percent",
    [
        ("2026-10-01T00:00:00Z", 1, "25"),
        ("2026-10-31T23:59:59.999999Z", 1, "25"),
        ("2026-11-01T00:00:00Z", 2, "25"),
        ("2026-12-31T23:59:59.999999Z", 3, "25"),
        ("2027-01-01T00:00:00Z", 4, "10"),
        ("2027-03-31T23:59:59.999999Z", 6, "10"),
        ("2027-04-01T00:00:00Z", 7, None),
        ("2035-04-01T00:00:00Z", 103, None),
    ],
)
def test_a_discount_has_the_percentage_of_its_month(
    at: str, month: int, percent: str | None
) -> None:
    moment_at = parse_moment(at)
    assert PILOT.month_at(moment_at) == month
    found = [(one.percent, one.ramp) for one in PILOT.in_month_of(moment_at).discounts]
    assert found == ([] if percent is None else [(Decimal(percent), None)])


def test_month_1_is_the_first_billing_period_whole_or_not() -> None:
    # From October 10 on with periods from the 20th in Tokyo (UTC+9): month 1 has ten days.
    agreed = agreement(
        {
            "effective_from": "2026-10-10T00:00:00Z",
            "anchor_day": 20,
            "zone": "Asia/Tokyo",
            "discounts": [ramped("5", (2, "6"), (3, "7"))],
        }
    )
    starts = [moment_text(at) for at in agreed.ramp_starts_at()]
    assert starts == ["2026-10-19T15:00:00Z", "2026-11-19T15:00:00Z"]
    assert [agreed.month_at(parse_moment(at)) for at in starts] == [2, 3]


def test_ramps_of_several_discounts_start_in_order_and_once() -> None:
    both = [ramped("5", (2, "6"), (4, "7")), ramped("1", (2, "2"), (3, "3"), id_="other")]
    starts = agreement({"discounts": both}).ramp_starts_at()
    assert [moment_text(at)[:10] for at in starts] == ["2026-11-01", "2026-12-01", "2027-01-01"]
    assert agreement({"discounts": [discount("5")]}).ramp_starts_at() == ()


@given(
    day=st.integers(1, 31),
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"]),
    start_at=st.integers(
        parse_moment("2026-01-01T00:00:00Z"), parse_moment("2027-01-01T00:00:00Z")
    ),
    days=st.integers(0, 900),
)
def test_a_billing_period_lies_in_one_month_and_the_next_one_in_the_next(
    day: int, zone: str, start_at: int, days: int
) -> None:
    agreed = agreement({"anchor_day": day, "zone": zone, "effective_from": moment_text(start_at)})
    found = billing_period_at((agreed,), moment_at=start_at + days * 86_400_000_000)
    assert found is not None
    period, month_at = found.period, agreed.month_at
    assert month_at(period.start_at) == month_at(period.end_at - 1)
    assert month_at(period.end_at) == month_at(period.start_at) + 1


def test_an_agreement_without_a_ramp_says_nothing_of_one() -> None:
    # So the digests of agreements that were accepted before ramps existed are what they were.
    text = canonical_json(dump(agreement({"discounts": [discount("5")]}))).decode()
    assert "ramp" not in text
    assert "served_in" not in text


@pytest.mark.parametrize(
    "percent, steps, sentence",
    [
        ("0", [], "percent must lie over 0 and up to 100, not 0"),
        ("100.01", [(2, "5")], "percent must lie over 0 and up to 100, not 100.01"),
        ("5", [(1, "6")], "greater than or equal to 2"),
        ("5", [(601, "6")], "less than or equal to 600"),
        ("5", [(2, "100.01")], "percent must lie from 0 up to 100, not 100.01"),
        ("5", [(3, "6"), (2, "7")], "the ramp goes from month 3 to 2; write them in order"),
        ("5", [(2, "6"), (2, "7")], "the ramp goes from month 2 to 2; write them in order"),
        ("5", [(2, "5")], "month 2 of the ramp changes nothing; remove it"),
        ("5", [(2, "6"), (3, "6.0")], "month 3 of the ramp changes nothing; remove it"),
    ],
)
def test_a_ramp_that_says_nothing_or_too_much_is_refused(
    percent: str, steps: Steps, sentence: str
) -> None:
    made = ramped(percent, *steps) if steps else discount(percent)
    with pytest.raises(DocumentError) as refused:
        agreement({"discounts": [made]})
    assert sentence in refused.value.sentence


def test_an_empty_ramp_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"discounts\[0\]\.ramp"):
        agreement({"discounts": [discount("5", {"ramp": []})]})


@pytest.mark.parametrize("percent", ["59.99", "60", "60.01"], ids=["below", "at", "over"])
def test_discounts_exceed_a_charge_in_no_month(percent: str) -> None:
    # 10 and 40 % at first; from month 3 on the first is 60 % or so: together up to 100.
    both = [ramped("10", (3, percent)), discount("40", {"id": "flat"})]
    if percent != "60.01":
        assert len(agreement({"discounts": both}).discounts) == 2
        return
    with pytest.raises(DocumentError) as refused:
        agreement({"discounts": both})
    assert refused.value.sentence == (
        "the discounts r, flat together exceed 100 percent of one charge from month 3 on"
    )


def test_a_discount_may_begin_later() -> None:
    agreed = agreement({"discounts": [ramped("0", (2, "8"))]})
    assert agreed.in_month_of(agreed.effective_from).discounts == ()
    second = agreed.in_month_of(agreed.ramp_starts_at()[0]).discounts
    assert [one.percent for one in second] == [Decimal(8)]


YAML = """\
schema: tokenworks.agreement/1
account: acme
version: 1
series: usd
currency: USD
zone: UTC
effective_from: "2026-10-01T00:00:00Z"
bill_to: {name: Acme Robotics}
issuer: {name: Northern Tokens GmbH}
payment_terms_days: 30
tax: {category: Z}
served_in:
  regions: [eu, us-east]
  service_tiers: [clinical]
discounts:
  - id: pilot
    description: Pilot
    percent: "25"
    ramp:
      - {from_month: 4, percent: "10"}
"""


@pytest.mark.parametrize(
    "region, service_tier, holds",
    [
        ("eu", "clinical", True),
        ("us-east", "clinical", True),
        ("us-west", "clinical", False),
        ("", "clinical", False),
        ("eu", "standard", False),
    ],
)
def test_an_account_is_served_where_it_says(region: str, service_tier: str, holds: bool) -> None:
    served_in = load_yaml(Agreement, YAML.encode(), name="a.yaml").served_in
    assert served_in is not None
    assert served_in.holds(region=region, service_tier=service_tier) is holds


@pytest.mark.parametrize(
    "written, instead, where, sentence",
    [
        ("from_month: 4", "from_month: 1", "20 discounts[0].ramp[0].from_month", "or equal to 2"),
        ('"10"', "10", "20 discounts[0].ramp[0].percent", "must be a string in quotes"),
        ("  regions: [eu, us-east]\n  service_tiers: [clinical]", "  regions: []", "12 served_in",
         "names nothing; name regions or service_tiers, or leave it out"),
    ],
)  # fmt: skip
def test_a_wrong_term_is_refused_with_its_line(
    written: str, instead: str, where: str, sentence: str
) -> None:
    assert YAML.count(written) == 1
    with pytest.raises(DocumentError) as refused:
        load_yaml(Agreement, YAML.replace(written, instead).encode(), name="a.yaml")
    assert refused.value.where == f"a.yaml:{where}"
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "fields, region, service_tier",
    [({"regions": ["eu"]}, "eu", "any"), ({"service_tiers": ["clinical"]}, "any", "clinical")],
)
def test_an_empty_list_means_everywhere(
    fields: dict[str, Any], region: str, service_tier: str
) -> None:
    served_in = agreement({"served_in": fields}).served_in
    assert served_in is not None
    assert served_in.holds(region=region, service_tier=service_tier)
