"""Where two rates of a card may both be meant, and only the stated order of conditions decides.

Invariant: two rates are an ambiguous match only where some request can meet both, neither names all
that the other names, they differ, and no rate stands for both conditions at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from pricing_rules.period import Period
from pricing_rules.prices.conditions import When
from pricing_rules.rules.floors import Found
from pricing_rules.rules.rate_chain import DerivedRate
from pricing_rules.rules.rule_reach import Trace
from pricing_rules.windows import DAY, Window

SEEN_DAYS = 732
"""How far windows are looked at for a moment in both: two years, with their holidays and clock
changes."""

CardUnit = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Two conditions that a request can meet at once: the one that wins, and the other."""

    wins: When
    loses: When


def ambiguous_rates(
    rates: Sequence[DerivedRate], *, windows: Mapping[str, Window], effective_from: int
) -> Iterator[Found]:
    """Findings on finished rates; rates that are equal do no harm.

    ``windows``: those that rates name. Whether two of them meet is looked up in the two years
    from ``effective_from``.
    """
    units: dict[CardUnit, dict[tuple[object, ...], DerivedRate]] = {}
    for rate in rates:
        key = (rate.model, rate.service_tier, rate.unit)
        units.setdefault(key, {})[rate.conditions] = rate
    rivals = _Rivals(windows, effective_from=effective_from)
    for members in units.values():
        for rival in rivals.among([rate.when for rate in members.values()]):
            wins, loses = members[rival.wins.shape], members[rival.loses.shape]
            if wins.bands == loses.bands:
                continue
            yield Found(
                kind="ambiguous_match",
                about=f"{wins.about} or {loses.when.text()}",
                sentence=f"{wins.about}: a request can also meet {loses.when.text()}, and "
                "neither is the more specific; the order of conditions takes "
                f"{wins.when.text()}; write a rate for both, as a rule that holds for the other's "
                "rates does",
            )


def ambiguous_traces(
    traces: Sequence[Trace], *, windows: Mapping[str, Window], effective_from: int
) -> Iterator[Found]:
    """Findings on what the rules of a policy can make, once for each pair of conditions."""
    units: dict[CardUnit, list[When]] = {}
    for trace in traces:
        key = (trace.model, trace.service_tier, trace.unit)
        units.setdefault(key, []).append(trace.when)
    rivals = _Rivals(windows, effective_from=effective_from)
    told: set[str] = set()
    for (model, service_tier, unit), whens in units.items():
        for rival in rivals.among(whens):
            both = f"{rival.wins.text()} or {rival.loses.text()}"
            if both not in told:
                told.add(both)
                yield Found(
                    kind="ambiguous_match",
                    about=both,
                    sentence=f"a request for {unit} of {model} in {service_tier} can meet "
                    f"{rival.wins.text()} and {rival.loses.text()}, and neither is the more "
                    "specific; let the later rule hold for the rates of the earlier one",
                )


class _Rivals:
    """Finds rivals once for each set of conditions: most cards have the same."""

    def __init__(self, windows: Mapping[str, Window], *, effective_from: int) -> None:
        self.windows = windows
        self.seen = Period(start_at=effective_from, end_at=effective_from + SEEN_DAYS * DAY)
        self.found: dict[frozenset[tuple[object, ...]], tuple[Rival, ...]] = {}
        self.meetings: dict[frozenset[str], bool] = {}

    def among(self, whens: Sequence[When]) -> tuple[Rival, ...]:
        shapes = frozenset(when.shape for when in whens)
        if shapes not in self.found:
            ordered = sorted(whens, key=When.specificity, reverse=True)
            self.found[shapes] = tuple(
                Rival(wins=wins, loses=loses)
                for wins, loses in combinations(ordered, 2)
                if not _names_all(wins, of=loses)
                and self._both_hold(wins, loses)
                and _together(wins, loses) not in shapes
            )
        return self.found[shapes]

    def _both_hold(self, one: When, other: When) -> bool:
        dimensions = one.dimensions.keys() & other.dimensions.keys()
        return (
            (one.region == other.region or None in (one.region, other.region))
            and all(one.dimensions[name] == other.dimensions[name] for name in dimensions)
            and (
                one.window is None
                or other.window is None
                or one.window == other.window
                or self._meet(one.window, other.window)
            )
        )

    def _meet(self, one: str, other: str) -> bool:
        pair = frozenset((one, other))
        if pair not in self.meetings:
            spans = sorted(
                (period.start_at, period.end_at)
                for name in pair
                for period in self.windows[name].periods(self.seen)
            )
            # The stretches of one window lie apart, so two that overlap are of both.
            self.meetings[pair] = any(right[0] < left[1] for left, right in pairwise(spans))
        return self.meetings[pair]


def _names_all(one: When, *, of: When) -> bool:
    """Whether ``one`` holds only where ``of`` holds."""
    return (
        of.region in (None, one.region)
        and of.window in (None, one.window)
        and of.threshold_tokens <= one.threshold_tokens
        and of.dimensions.items() <= one.dimensions.items()
    )


def _together(one: When, other: When) -> tuple[object, ...] | None:
    """The conditions of both as a shape; None where no rate can name both of their windows."""
    if one.window and other.window and one.window != other.window:
        return None
    larger = max((one, other), key=lambda when: when.threshold_tokens)
    both = larger.model_copy(
        update={
            "region": one.region or other.region,
            "window": one.window or other.window,
            "dimensions": {**one.dimensions, **other.dimensions},
        }
    )
    return both.shape
