"""What agreements take off the charges of a reviewed period, and what a person must know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

import pytest

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.agreed_discounts import AgreedOff, agreed_off
from pricing_rules.document import DocumentError, load_yaml
from pricing_rules.prices.price_book import load_price_book
from tests.billing.operations.made_store import agreement_text
from tests.journeys.made_files import Json, book
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
    WEEK,
    books,
    card,
    period_of,
    used,
)

SERIES = load_price_book(json.dumps(book(card())).encode(), name="book.json")
OUTPUT = ("a", "m", "standard", "output_tokens")
INPUT = ("a", "m", "standard", "input_tokens")
USAGE = (
    used({"output_tokens": MTOK, "input_tokens": MTOK}, account="a"),
    used({"output_tokens": MTOK}, account="b"),
)


def agreement(*discounts: Json, **fields: Json) -> Agreement:
    text = agreement_text(discounts=list(discounts), **fields)
    return load_yaml(Agreement, text.encode(), name="a.yaml")


def discount(id_: str, *, percent: str, **fields: Json) -> Json:
    return {"id": id_, "description": "Discount", "percent": percent, **fields}


def off(*agreements: Agreement, usage: Sequence[Json] = USAGE) -> AgreedOff:
    under = books(SERIES)
    found = period_of(usage, under=under)
    return agreed_off(
        found.charges, totals=found.totals, agreements=agreements, books=under, period=WEEK
    )


def test_discounts_on_one_charge_add_up_to_its_share() -> None:
    found = off(
        agreement(
            discount("all", percent="10"), discount("out", percent="15", units=["output_tokens"])
        )
    )
    assert found.shares == {OUTPUT: Fraction(1, 4), INPUT: Fraction(1, 10)}
    assert found.findings == ()


def test_the_version_in_effect_at_the_start_counts_and_a_later_one_is_named() -> None:
    first = agreement(discount("d", percent="10"))
    second = agreement(
        discount("d", percent="20"), version=2, effective_from="2026-10-19T00:00:00Z"
    )
    assert off(second, first).shares[OUTPUT] == Fraction(1, 5)
    inside = agreement(
        discount("d", percent="20"), version=2, effective_from="2026-10-19T00:00:01Z"
    )
    found = off(first, inside)
    assert found.shares[OUTPUT] == Fraction(1, 10)
    assert found.findings == (
        "version 2 of the agreement of a takes effect at 2026-10-19T00:00:01Z, inside the period: "
        "it counts from the next one on",
    )
    after = agreement(version=2, effective_from="2026-10-26T00:00:00Z")
    assert off(first, after).findings == ()
    assert off(inside).shares == {}


def test_a_ramp_counts_by_the_month_of_the_start() -> None:
    ramp = [{"from_month": 2, "percent": "30"}]
    # From 2026-09-01 on: October is its second month.
    assert off(agreement(discount("d", percent="10", ramp=ramp))).shares[OUTPUT] == Fraction(3, 10)


def test_a_rate_that_is_charged_under_its_floor_after_discounts_is_a_finding() -> None:
    # 4 less 40 % is 2.4 under 2.525; 0.5 less 40 % is 0.3 over 0.275.
    assert off(agreement(discount("d", percent="40"))).findings == (
        "a: m in standard: output_tokens at 2.4 per million after discounts is under its floor of "
        "2.525 (book 1)",
    )


def test_a_rate_under_its_floor_without_a_discount_is_not_a_finding_of_the_agreement() -> None:
    low = load_price_book(json.dumps(book(card({"output_tokens": "1"}))).encode(), name="book.json")
    under = books(low)
    found = period_of(USAGE, under=under)
    told = agreed_off(
        found.charges,
        totals=found.totals,
        agreements=[agreement(discount("d", percent="10", units=["input_tokens"]))],
        books=under,
        period=WEEK,
    )
    assert told.findings == ()


def test_usage_that_was_served_elsewhere_is_a_finding() -> None:
    (told,) = off(agreement(served_in={"service_tiers": ["batch"]})).findings
    assert told.startswith("1 events of a were served in standard")


def test_an_agreement_of_another_series_or_currency_or_twice_is_refused() -> None:
    for changed in ({"series": "other"}, {"currency": "EUR"}):
        with pytest.raises(DocumentError, match="agreement of a: follows"):
            off(agreement(**changed))
    with pytest.raises(DocumentError, match="agreement of a: version 1 stands twice; keep one"):
        off(agreement(), agreement())


def test_an_account_without_usage_takes_nothing_off() -> None:
    nobody = off(agreement(discount("d", percent="10"), account="nobody"))
    assert nobody == AgreedOff(shares={}, findings=())
