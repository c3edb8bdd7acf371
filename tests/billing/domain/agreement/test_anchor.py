"""The anchor of an agreement: the day of the month on which its billing periods begin."""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError, dump
from pricing_rules.period import BillingAnchor
from tests.billing.domain.made_charges import agreement


def test_an_agreement_bills_from_the_first_of_the_month_unless_it_says_another_day() -> None:
    assert agreement().anchor == BillingAnchor(day=1, zone="UTC")
    other = agreement({"anchor_day": 31, "zone": "Asia/Tokyo"})
    assert other.anchor == BillingAnchor(day=31, zone="Asia/Tokyo")
    assert dump(other)["anchor_day"] == 31


@pytest.mark.parametrize("day", [0, 32])
def test_a_day_that_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(DocumentError, match=r"agreement\.yaml anchor_day: "):
        agreement({"anchor_day": day})
