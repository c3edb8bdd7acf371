"""What accounts were served, as rates are held against it: usage mixes over the last 28 days.

Invariant: an event is in one mix alone, and usage of another length or age than the yield test asks
for is a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Final

from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text
from pricing_rules.rules.floors import Found
from pricing_rules.rules.policy import Policy
from pricing_rules.usage.mix import MixEntry, UsageMix
from pricing_rules.windows import DAY

USAGE_DAYS: Final = 28
"""How much past usage of each account rates must earn their floor on."""

_HOUR: Final = DAY // 24


def check_mixes(mixes: Sequence[UsageMix]) -> None:
    """DocumentError where two mixes tell of the same usage: it would count twice.

    Mixes of other accounts, models or service tiers may cover the same time.
    """
    for one, other in combinations(sorted(mixes, key=lambda mix: (mix.start_at, mix.end_at)), 2):
        if other.start_at >= one.end_at:
            continue
        for key in sorted({entry.key for entry in one.entries}):
            if any(entry.key == key for entry in other.entries):
                raise DocumentError(
                    "usage mixes",
                    f"{' / '.join(key)} stands in two that share the time from "
                    f"{moment_text(other.start_at)} on, so it would count twice; give it once",
                )


def window_findings(
    mixes: Sequence[UsageMix], *, policy: Policy, effective_from: int
) -> Iterator[Found]:
    """Findings where the mixes do not cover 28 days, or end too long before the book is in force.

    Too long is 28 days and the days of notice that the policy gives. None without mixes.
    """
    if not mixes:
        return
    start_at, end_at = min(m.start_at for m in mixes), max(m.end_at for m in mixes)
    covered = sum(end - start for start, end in covered_spans(mixes))
    if not covered == end_at - start_at == USAGE_DAYS * DAY:
        yield Found(
            kind="usage_window",
            about="length",
            sentence=f"accounts were held against {covered // _HOUR} hours of usage between "
            f"{moment_text(start_at)} and {moment_text(end_at)}, and not against the "
            f"{USAGE_DAYS * 24} hours of {USAGE_DAYS} days",
        )
    days = USAGE_DAYS + (policy.guard_rails.notice_days_at_least or 0)
    if end_at < effective_from - days * DAY:
        yield Found(
            kind="usage_window",
            about="age",
            sentence=f"accounts were held against usage that ends at {moment_text(end_at)}, over "
            f"{days} days before {moment_text(effective_from)}, when the book is in force",
        )


def covered_spans(mixes: Iterable[UsageMix]) -> Iterator[tuple[int, int]]:
    """The stretches of time that mixes cover, each instant once, in order."""
    covered_until_at: int | None = None
    for mix in sorted(mixes, key=lambda one: (one.start_at, one.end_at)):
        start_at = mix.start_at if covered_until_at is None else max(mix.start_at, covered_until_at)
        if mix.end_at > start_at:
            yield start_at, mix.end_at
            covered_until_at = mix.end_at


def entries_of(mixes: Iterable[UsageMix], *, model: str, service_tier: str) -> tuple[MixEntry, ...]:
    """What all accounts were served of a model in a service tier."""
    return tuple(
        entry
        for mix in mixes
        for entry in mix.entries
        if (entry.model, entry.service_tier) == (model, service_tier)
    )


def mean_request(entries: Iterable[MixEntry]) -> MeanShape:
    """The mean request of all events of some entries, of which there is one at least."""
    entries = tuple(entries)
    events = sum(entry.events for entry in entries)
    shapes = [shape for entry in entries for shape in entry.shapes]
    cached = sum(shape.cache_read_tokens for shape in shapes)
    return MeanShape(
        fresh_input_tokens=(sum(shape.input_tokens for shape in shapes) - cached) / events,
        cache_read_tokens=cached / events,
        output_tokens=sum(shape.output_tokens for shape in shapes) / events,
    )
