"""Amounts of invoices beside their periods rated anew: each difference is named, to the fraction.

Invariant: what a test does not change is as a close makes it.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from billing.domain.agreement.agreement import Agreement
from billing.domain.invoice.due import due_for
from billing.domain.invoice.invoice import Invoice
from billing.domain.verification.amounts import (
    RatedPeriod,
    lines_equal_rating,
    rated_period,
    taxes_as_computed,
)
from billing.domain.verification.equations import Verified
from pricing_rules.period import Period
from tests.billing.domain.made_charges import OCTOBER, TAX_19, agreement, books, discount
from tests.billing.domain.made_invoices import NOVEMBER, issued, rating_of, used

AGREED = agreement({"tax": TAX_19, "discounts": [discount("10")]})
TOTALS = [used(3_000_000), used(1_000_000, epoch=2), used(2_000_000, at=NOVEMBER.start_at)]
FIRST = issued([used(3_000_000)], books=books(), agreed=AGREED)
SECOND = issued(TOTALS, books=books(), invoices=[FIRST], agreed=AGREED, period=NOVEMBER)
INVOICES = (FIRST, SECOND)
OF_OCTOBER = "account acme, period from 2026-10-01T00:00:00Z"


def rated(period: Period, *, agreed: Agreement = AGREED) -> RatedPeriod:
    """A period with all its usage: 4M in October and 2M in November, at 1 per million."""
    rating = rating_of(TOTALS, books=books(), period=period)
    return rated_period(due_for(rating, agreement=agreed, books=books(), period=period))


BOTH = (rated(OCTOBER), rated(NOVEMBER))


def named(found: Verified) -> list[tuple[str, str, str]]:
    return [(one.kind, one.where, one.sentence) for one in found.damage]


def test_lines_charge_what_their_periods_cost_over_all_invoices() -> None:
    found = lines_equal_rating(INVOICES, rated=BOTH)
    assert found.holds
    # October 4.00 less 10 %: 2.70 + .90; November 2.00 less 10 %: 1.80.
    assert [(one.name, one.text()) for one in found.equations] == [
        ("amounts in USD", "charged 540 = rated anew 540")
    ]
    assert lines_equal_rating([], rated=[]).holds


def test_an_amount_that_was_wrong_when_it_was_finalized_is_named() -> None:
    # Without its correction October is short of the late million, and of the 10 % off it.
    assert named(lines_equal_rating([FIRST], rated=BOTH[:1])) == [
        ("amount", OF_OCTOBER, "charged 270 is not rated anew 360"),
        (
            "amount",
            f"{OF_OCTOBER}, m, standard: output tokens",
            "lines charge 3, and rated anew it is 4",
        ),
        ("amount", f"{OF_OCTOBER}, discount d10", "lines charge -0.3, and rated anew it is -0.4"),
    ]


def test_an_exact_amount_is_compared_under_the_cent() -> None:
    # 1M at 1/3 more than it is: not a cent, and not the same.
    usage, off = FIRST.lines
    third = usage.model_copy(update={"amount_exact": usage.amount_exact + Fraction(1, 3_000)})
    one = rated_period(
        due_for(
            rating_of(TOTALS[:1], books=books(), period=OCTOBER),
            agreement=AGREED,
            books=books(),
            period=OCTOBER,
        )
    )
    assert named(lines_equal_rating([changed(FIRST, lines=(third, off))], rated=[one])) == [
        (
            "amount",
            f"{OF_OCTOBER}, m, standard: output tokens",
            "lines charge 9001/3000, and rated anew it is 3",
        )
    ]


def test_a_period_that_is_billed_and_has_no_usage_any_more_is_named() -> None:
    found = lines_equal_rating([FIRST], rated=[])
    assert [damage.where for damage in found.damage] == [
        OF_OCTOBER,
        f"{OF_OCTOBER}, m, standard: output tokens",
        f"{OF_OCTOBER}, discount d10",
    ]


def changed(invoice: Invoice, **fields: Any) -> Invoice:
    return invoice.model_copy(update=fields)


def test_a_currency_that_is_another_one_is_named() -> None:
    assert [one.sentence for one in lines_equal_rating(INVOICES, rated=BOTH).damage] == []
    euros = [changed(one, currency="EUR") for one in INVOICES]
    found = lines_equal_rating(euros, rated=BOTH)
    assert [one.name for one in found.equations] == ["amounts in EUR", "amounts in USD"]
    assert len(found.damage) == 4  # two periods in two currencies


def test_taxes_are_those_of_the_sums_of_lines() -> None:
    # 19 % of 2.70 = .513 and of 1.80 + .90 the same.
    assert taxes_as_computed(INVOICES, rated=BOTH).holds


@pytest.mark.parametrize("net, tax", [(270, 50), (270, 52), (269, 51)])
def test_a_tax_that_is_off_by_a_unit_is_named(net: int, tax: int) -> None:
    (one,) = FIRST.taxes
    wrong = one.model_copy(update={"net_minor": net, "tax_minor": tax})
    assert named(taxes_as_computed([changed(FIRST, taxes=(wrong,))], rated=BOTH)) == [
        (
            "tax",
            "invoice INV-000001 of Northern Tokens GmbH",
            f"net {net} and tax {tax} of S 19 % are not the net 270 and tax 51 of its lines",
        )
    ]


def test_tax_is_taken_out_of_prices_that_include_it() -> None:
    # 2.70 holds 2.70 * 19 / 119 = .4311 of tax.
    agreed = agreement({"tax": TAX_19, "discounts": [discount("10")], "prices_include_tax": True})
    gross = issued([used(3_000_000)], books=books(), agreed=agreed)
    assert (gross.net_minor, gross.tax_minor) == (227, 43)
    assert taxes_as_computed([gross], rated=BOTH).holds
    assert not taxes_as_computed([changed(gross, prices_include_tax=False)], rated=BOTH).holds


def test_a_line_is_taxed_as_the_agreement_of_its_period_says() -> None:
    reduced = agreement({"tax": {"category": "S", "rate_percent": "7"}})
    found = taxes_as_computed([SECOND], rated=[rated(OCTOBER, agreed=reduced), BOTH[1]])
    where = "invoice INV-000002 of Northern Tokens GmbH"
    # Lines 3 and 4 correct October.
    assert named(found) == [
        ("tax", f"{where}, line {line}", "is taxed as S 19 %, and its agreement says S 7 %")
        for line in (3, 4)
    ]
    own = taxes_as_computed([FIRST], rated=[rated(OCTOBER, agreed=reduced)])
    assert [one.where[-6:] for one in own.damage] == ["line 1", "line 2"]


def test_an_invoice_without_taxes_has_nothing_to_compute() -> None:
    assert taxes_as_computed([changed(FIRST, taxes=())], rated=[]).holds


def test_a_percentage_is_a_number_however_it_is_written() -> None:
    zero = FIRST.taxes[0].model_copy(update={"rate_percent": Decimal("19.0")})
    assert taxes_as_computed([changed(FIRST, taxes=(zero,))], rated=BOTH).holds
