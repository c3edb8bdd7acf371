"""Reading what ``book_diff`` found, for tests.

Invariant: a change that a test asks for is there exactly once.
"""

from __future__ import annotations

from typing import Any

from pricing_rules.rules.book_diff import BookDiff, RateChange


def change_of(
    diff: BookDiff, unit: str, *, when: str = "", service_tier: str = "standard"
) -> RateChange:
    (found,) = [
        one
        for one in diff.rates
        if (one.unit, one.when, one.service_tier) == (unit, when, service_tier)
    ]
    return found


def causes(change: RateChange) -> list[tuple[str, str]]:
    return [(cause.kind, cause.sentence) for cause in change.causes]


def sentences(diff: BookDiff, unit: str, **place: str) -> list[str]:
    return [cause.sentence for cause in change_of(diff, unit, **place).causes]


def exchange(per_usd: str) -> dict[str, Any]:
    rate = {"currency": "EUR", "per_usd": per_usd, "date": "2026-10-01", "source": "a bank"}
    return {"currency": "EUR", "exchange": rate}
