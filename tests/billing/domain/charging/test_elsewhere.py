"""Usage that was served elsewhere than the agreement says is found, event by event."""

from __future__ import annotations

from typing import Any

from billing.domain.charging.elsewhere import served_elsewhere
from pricing_rules.usage.totals import Grid, UsageTotal, negative
from tests.billing.domain.made_charges import agreement
from tests.pricing_rules.prices.made_books import total


def _found(totals: list[UsageTotal], served_in: dict[str, Any] | None) -> list[str]:
    fields = {} if served_in is None else {"served_in": served_in}
    return list(served_elsewhere(totals, agreement=agreement(fields)))


def _used(region: str, *, events: int = 1, **fields: Any) -> UsageTotal:
    return total({"output_tokens": 1}, grid=Grid(), region=region, events=events, **fields)


def test_an_account_that_is_served_everywhere_has_no_finding() -> None:
    assert _found([_used("eu"), _used("")], None) == []


def test_what_is_served_elsewhere_is_one_finding_for_each_place() -> None:
    totals = [
        _used("us", events=3),
        _used("eu", events=1000, size_tokens=5),
        _used("eu", events=234, model="n"),
        _used("", events=2),
    ]
    assert _found(totals, {"regions": ["us", "us-east"]}) == [
        "2 events of acme were served in standard in no named region, and its agreement has them "
        "served in us or us-east",
        "1,234 events of acme were served in standard in eu, and its agreement has them served in "
        "us or us-east",
    ]
    assert _found(totals[:1], {"regions": ["us"], "service_tiers": ["batch"]}) == [
        "3 events of acme were served in standard in us, and its agreement has them served in "
        "batch in us"
    ]
    assert _found(totals[:1], {"regions": ["us"], "service_tiers": ["standard"]}) == []


def test_other_accounts_and_what_is_not_billable_do_not_count() -> None:
    totals = [_used("eu", account="other"), _used("eu", outcome="failed")]
    assert _found(totals, {"regions": ["us"]}) == []
    assert len(_found([_used("eu", outcome="cancelled")], {"regions": ["us"]})) == 1


def test_what_was_taken_away_again_was_served_nowhere() -> None:
    voided = [_used("eu"), negative(_used("eu"))]
    assert _found(voided, {"regions": ["us"]}) == []
    # Two, less one that was voided.
    (sentence,) = _found([_used("eu", events=2), negative(_used("eu"))], {"regions": ["us"]})
    assert sentence.startswith("1 events of acme were served in standard in eu")
