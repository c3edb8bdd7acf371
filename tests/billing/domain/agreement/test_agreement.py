"""What an agreement.yaml may say, and where and why another one is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.domain.agreement.agreement import Agreement
from pricing_rules.document import DocumentError, dump, load_yaml
from tests.billing.domain.made_charges import agreement, discount

YAML = """\
schema: tokenworks.agreement/1
account: acme
version: 1
series: usd
currency: USD
zone: Europe/Berlin
effective_from: "2026-10-01T00:00:00+02:00"
bill_to:
  name: Acme Robotics
  address: [500 Market Street, San Francisco]
issuer:
  name: Northern Tokens GmbH
  tax_id: DE123456789
payment_terms_days: 30
tax:
  category: S
  rate_percent: "19"
discounts:
  - id: launch
    description: Launch discount
    percent: "10"
    models: [gpt-oss-120b]
  - id: batch
    description: Batch
    percent: "90"
    service_tiers: [batch]
    units: [output_tokens]
"""


def test_an_agreement_is_read_with_its_defaults() -> None:
    read = load_yaml(Agreement, YAML.encode(), name="agreement.yaml")
    assert read.bill_to.address == ("500 Market Street", "San Francisco")
    assert read.discounts[0].percent == Decimal(10)
    assert (read.prices_include_tax, read.tax.note, read.bill_to.email) == (False, None, None)
    # Midnight at +02:00 is 22:00 of the day before in UTC.
    assert dump(read)["effective_from"] == "2026-09-30T22:00:00Z"


@pytest.mark.parametrize(
    "written, instead, where, sentence",
    [
        ("version: 1", "version: 0", "3 version", "greater than or equal to 1"),
        ("version: 1", 'version: "1"', "3 version", "must be a whole number"),
        ("currency: USD", "currency: usd", "5 currency", '"usd" is not an ISO 4217 currency'),
        ("currency: USD", "currency: XAU", "5 currency", "is not an ISO 4217 currency"),
        ("Europe/Berlin", "Europe/Bern", "6 zone", '"Europe/Bern" is not an IANA time zone'),
        ("00+02:00", "00", "7 effective_from", "the offset is missing"),
        ("name: Acme Robotics", 'name: ""', "9 bill_to.name", "at least 1 character"),
        ("500 Market Street", '"a\\x07"', "10 bill_to.address[0]", "character U+0007"),
        ("tax_id", "vat_id", "13 issuer.vat_id", "unknown field; remove it"),
        ("days: 30", "days: -1", "14 payment_terms_days", "greater than or equal to 0"),
        ("days: 30", "days: 366", "14 payment_terms_days", "less than or equal to 365"),
        ("category: S", "category: X", "16 tax.category", "'S', 'Z', 'E', 'AE', 'G' or 'O'"),
        ('"19"', "19", "17 tax.rate_percent", 'must be a string in quotes such as "0.25"'),
        ('"10"', '"0"', "19 discounts[0]", "percent must lie over 0 and up to 100, not 0"),
        ('"10"', '"100.01"', "19 discounts[0]", "must lie over 0 and up to 100, not 100.01"),
        ('"10"', '"-5"', "21 discounts[0].percent", "must be a plain decimal"),
        ("[output_tokens]", "[tokens]", "27 discounts[1].units[0]", '"tokens" is not a unit'),
        ("id: batch", "id: launch", "18 discounts", "two discounts have one id; give each its own"),
        (
            '"10"',
            '"11"',
            "18 discounts",
            "discounts launch, batch together exceed 100 percent of one charge",
        ),
    ],
)
def test_a_wrong_agreement_is_refused_with_its_line_and_how_to_mend_it(
    written: str, instead: str, where: str, sentence: str
) -> None:
    assert YAML.count(written) == 1
    with pytest.raises(DocumentError) as refused:
        load_yaml(Agreement, YAML.replace(written, instead).encode(), name="agreement.yaml")
    assert refused.value.where == f"agreement.yaml:{where}"
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "tax, sentence",
    [
        ({"category": "S"}, "category S has a rate_percent over 0"),
        ({"category": "S", "rate_percent": "0"}, "category S has a rate_percent over 0"),
        ({"category": "Z", "rate_percent": "7"}, "every other one has none"),
        ({"category": "S", "rate_percent": "100.1"}, "rate_percent must be at most 100, not 100.1"),
        ({"category": "E"}, "category E needs a note that says why no tax is due"),
        ({"category": "AE"}, "category AE needs a note"),
        ({"category": "G"}, "category G needs a note"),
        ({"category": "O"}, "category O needs a note"),
    ],
)
def test_an_incomplete_tax_status_is_refused(tax: dict[str, str], sentence: str) -> None:
    with pytest.raises(DocumentError, match=r"^agreement\.yaml tax: ") as refused:
        agreement({"tax": tax})
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "tax",
    [
        {"category": "S", "rate_percent": "0.1"},
        {"category": "S", "rate_percent": "100"},
        {"category": "Z"},
        {"category": "AE", "note": "The recipient owes the tax."},
    ],
)
def test_a_complete_tax_status_is_accepted(tax: dict[str, str]) -> None:
    assert agreement({"tax": tax}).tax.category == tax["category"]


def scoped(percent: str, *, to: dict[str, list[str]]) -> dict[str, Any]:
    names = [name for named in to.values() for name in named]
    return discount(percent, {"id": "-".join([percent, *names]), **to})


@pytest.mark.parametrize(
    "discounts",
    [
        [scoped("60", to={}), scoped("40", to={"models": ["a"]})],  # 100 on a, 60 elsewhere
        [scoped("60", to={"models": ["a"]}), scoped("60", to={"models": ["b"]})],
        [scoped("60", to={"service_tiers": ["batch"]}), scoped("60", to={"service_tiers": ["x"]})],
        [
            scoped("60", to={"models": ["a"], "units": ["input_tokens"]}),
            scoped("60", to={"models": ["a"], "units": ["output_tokens"]}),
        ],
    ],
)
def test_discounts_of_at_most_100_percent_on_any_one_charge_are_accepted(
    discounts: list[dict[str, Any]],
) -> None:
    assert len(agreement({"discounts": discounts}).discounts) == 2


@pytest.mark.parametrize(
    "discounts, named",
    [
        ([scoped("60.5", to={}), scoped("39.51", to={"models": ["a"]})], "60.5, 39.51-a"),
        ([scoped("99", to={}), scoped("2", to={})], "99, 2"),
        # Of one model and of one service tier: a charge can be of both.
        (
            [scoped("60", to={"models": ["a"]}), scoped("41", to={"service_tiers": ["batch"]})],
            "60-a, 41-batch",
        ),
    ],
)
def test_discounts_of_over_100_percent_on_one_charge_are_refused(
    discounts: list[dict[str, Any]], named: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        agreement({"discounts": discounts})
    assert refused.value.sentence == (
        f"the discounts {named} together exceed 100 percent of one charge"
    )


@pytest.mark.parametrize(
    "scope, covered",
    [
        ({}, True),
        ({"models": ["m"], "service_tiers": ["standard"], "units": ["output_tokens"]}, True),
        ({"models": ["other", "m"]}, True),
        ({"models": ["other"]}, False),
        ({"service_tiers": ["batch"]}, False),
        ({"units": ["input_tokens"]}, False),
        ({"models": ["m"], "units": ["input_tokens"]}, False),
    ],
)
def test_a_discount_covers_what_it_names_and_without_names_everything(
    scope: dict[str, list[str]], covered: bool
) -> None:
    read = agreement({"discounts": [discount("5", scope)]}).discounts[0]
    assert read.covers(model="m", service_tier="standard", unit="output_tokens") is covered
