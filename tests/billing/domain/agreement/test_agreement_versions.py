"""The anchor of an agreement and its versions: which one is in effect at a moment.

Invariant: from the first version on exactly one is in effect, each until the next one is.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.agreement.agreement import AgreementVersions
from pricing_rules.document import DocumentError, dump
from pricing_rules.period import BillingAnchor, moment_text, parse_moment
from tests.billing.domain.made_charges import agreement

FIRST: dict[str, Any] = {"version": 1, "effective_from": "2026-10-01T00:00:00Z"}
SECOND: dict[str, Any] = {"version": 2, "effective_from": "2026-11-01T00:00:00Z"}


def test_an_agreement_bills_from_the_first_of_the_month_unless_it_says_another_day() -> None:
    assert agreement().anchor == BillingAnchor(day=1, zone="UTC")
    other = agreement({"anchor_day": 31, "zone": "Asia/Tokyo"})
    assert other.anchor == BillingAnchor(day=31, zone="Asia/Tokyo")
    assert dump(other)["anchor_day"] == 31


@pytest.mark.parametrize("day", [0, 32])
def test_a_day_that_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(DocumentError, match=r"agreement\.yaml anchor_day: "):
        agreement({"anchor_day": day})


def test_a_version_is_in_effect_until_the_next_one_is() -> None:
    first, second = agreement(FIRST), agreement(SECOND)
    versions = AgreementVersions(versions=(first, second))
    at = {
        text: versions.at(parse_moment(text))
        for text in (
            "2026-09-30T23:59:59.999999Z",
            "2026-10-01T00:00:00Z",
            "2026-10-31T23:59:59.999999Z",
            "2026-11-01T00:00:00Z",
            "2199-12-31T00:00:00Z",
        )
    }
    assert list(at.values()) == [None, first, first, second, second]


@given(
    starts=st.lists(st.integers(0, 10**15), min_size=1, max_size=6, unique=True).map(sorted),
    moment_at=st.integers(0, 10**15),
)
def test_the_latest_version_that_has_started_is_in_effect(
    starts: list[int], moment_at: int
) -> None:
    found = AgreementVersions(
        versions=tuple(
            agreement({"version": i + 1, "effective_from": moment_text(start)})
            for i, start in enumerate(starts)
        )
    ).at(moment_at)
    started = sum(start <= moment_at for start in starts)
    assert (found.version if found else 0) == started


@pytest.mark.parametrize(
    "second, sentence",
    [
        (
            {**SECOND, "account": "umbrella"},
            "is of umbrella; give one account's versions",
        ),
        (
            {**SECOND, "version": 1},
            "does not follow version 1; give it a higher number",
        ),
        (
            {**SECOND, "effective_from": "2026-10-01T00:00:00Z"},
            "is not in effect after version 1, which is from 2026-10-01T00:00:00Z on; "
            "give a later effective_from",
        ),
    ],
)
def test_a_version_that_does_not_follow_is_refused(second: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        AgreementVersions(versions=(agreement(FIRST), agreement(second)))
    assert refused.value.sentence == sentence
    assert refused.value.where.startswith("agreement of acme, version ")


def test_an_account_without_a_version_has_no_agreement() -> None:
    with pytest.raises(DocumentError, match="agreement: there is no version; give at least one"):
        AgreementVersions(versions=())
