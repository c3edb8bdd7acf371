"""Mass balance: the tokens that engines say they produced, beside those that events brought in.

An engine counts a token when it makes it, and an event lies at its price moment, so requests that
were under way at either end of a window make a difference; it is small where the window is long.

Invariant: what is compared is of the same model, unit and time on both sides; time in which an
engine began again counts on neither, and a model that only one side knows is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, get_args

from pricing_rules.document import JsonValue
from pricing_rules.money import exact_text, scaled_text
from pricing_rules.period import Period, moment_text
from pricing_rules.usage.units import UNITS

if TYPE_CHECKING:
    from pricing_rules.cost.readers.prometheus import TokenInterval

ProducedUnit = Literal["input_tokens", "output_tokens"]
PRODUCED_UNITS: Final[tuple[ProducedUnit, ...]] = get_args(ProducedUnit)

BalanceVerdict = Literal["balanced", "lost", "surplus", "unknown", "not scraped"]
"""``lost`` and ``surplus``: by more than is allowed. ``unknown``: no interval of the model was seen
whole. ``not scraped``: events name the model at a time at which no engine has it."""

Received = Mapping[tuple[str, str], int]
"""Leaf counts of events by model and unit."""

_PERCENT_DIGITS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProduction:
    """What all engines produced of one of our models in the ``periods`` in which each of its
    counters was seen whole, neighbours put together; ``hidden``: the others.
    """

    model: str
    periods: tuple[Period, ...]
    hidden: tuple[Period, ...]
    produced: Mapping[ProducedUnit, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRow:
    """One unit of one model: produced by engines, received in events, and what to say of it."""

    model: str
    unit: ProducedUnit
    produced: int
    received: int
    verdict: BalanceVerdict

    @property
    def holds(self) -> bool:
        """Whether it is no finding; what no engine was scraped for is named, and is none."""
        return self.verdict in ("balanced", "not scraped")

    @property
    def difference(self) -> int:
        """Received less produced."""
        return self.received - self.produced

    @property
    def share(self) -> Fraction | None:
        """The difference as a share of what was produced; None where nothing was."""
        return Fraction(self.difference, self.produced) if self.produced else None

    def text(self) -> str:
        """``produced 1,000, received 990, lost 1 %``; digits beyond four of a percent are cut."""
        said = f"produced {self.produced:,}, received {self.received:,}"
        if self.verdict in ("unknown", "not scraped") or not self.difference:
            return said
        word = "lost" if self.difference < 0 else "surplus"
        if self.share is None:
            return f"{said}, {word}"
        steps = abs(self.difference) * 100 * 10**_PERCENT_DIGITS // self.produced
        return f"{said}, {word} {scaled_text(steps, digits=_PERCENT_DIGITS)} %"

    def as_json(self) -> dict[str, JsonValue]:
        """Its fields; the share as an exact text."""
        return {
            "model": self.model,
            "unit": self.unit,
            "produced": self.produced,
            "received": self.received,
            "difference": self.difference,
            "share": None if self.share is None else exact_text(self.share),
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MassBalance:
    """The rows by model and unit over a window, and for each model the time that is hidden."""

    window: Period
    rows: tuple[BalanceRow, ...]
    hidden: Mapping[str, tuple[Period, ...]]

    @property
    def holds(self) -> bool:
        """Whether no row is a finding."""
        return all(row.holds for row in self.rows)

    def sentences(self) -> tuple[str, ...]:
        """What a person should read: every row that is not balanced, and time that is hidden."""
        said = [f"{row.model}, {row.unit}: {_why(row)}" for row in self.rows if _why(row)]
        said += [
            f"{model}: an engine began again, came or went between {moment_text(one.start_at)} and "
            f"{moment_text(one.end_at)}, so that time is on neither side"
            for model, periods in self.hidden.items()
            for one in periods
        ]
        return tuple(said)

    def as_json(self) -> dict[str, JsonValue]:
        """The rows, the window, and the hidden time of each model."""
        return {
            "window": self.window.text(),
            "holds": self.holds,
            "rows": [row.as_json() for row in self.rows],
            "hidden": {
                model: [one.text() for one in periods] for model, periods in self.hidden.items()
            },
        }


def _why(row: BalanceRow) -> str:
    if row.verdict == "unknown":
        return "no time was seen whole between two scrapes; scrape more often"
    if row.verdict == "not scraped":
        return f"received {row.received:,} while no engine that was scraped had it"
    return "" if row.verdict == "balanced" else row.text()


def productions(
    servers: Iterable[Sequence[TokenInterval]], *, names: Mapping[str, str]
) -> tuple[ModelProduction, ...]:
    """The production of each model from the intervals of each server, all over the same scrapes.

    ``names``: the engine's name of a model -> ours; the others are called the same by both.
    """
    by_model: dict[str, dict[Period, list[TokenInterval]]] = defaultdict(lambda: defaultdict(list))
    for intervals in servers:
        for one in intervals:
            period = Period(start_at=one.start_at, end_at=one.end_at)
            by_model[names.get(one.model, one.model)][period].append(one)
    return tuple(_production(model, told=told) for model, told in sorted(by_model.items()))


def _production(model: str, *, told: Mapping[Period, Sequence[TokenInterval]]) -> ModelProduction:
    whole: list[Period] = []
    hidden: list[Period] = []
    produced: dict[ProducedUnit, int] = dict.fromkeys(PRODUCED_UNITS, 0)
    for period, parts in sorted(told.items(), key=lambda item: item[0].start_at):
        counts = [
            (one.input_tokens, one.output_tokens)
            for one in parts
            if one.input_tokens is not None and one.output_tokens is not None
        ]
        if len(counts) < len(parts):
            hidden.append(period)
            continue
        whole.append(period)
        produced["input_tokens"] += sum(inputs for inputs, _ in counts)
        produced["output_tokens"] += sum(outputs for _, outputs in counts)
    return ModelProduction(
        model=model, periods=_joined(whole), hidden=_joined(hidden), produced=produced
    )


def _joined(periods: Iterable[Period]) -> tuple[Period, ...]:
    """Neighbours put together."""
    found: list[Period] = []
    for one in periods:
        joins = found and found[-1].end_at == one.start_at
        start_at = found.pop().start_at if joins else one.start_at
        found.append(Period(start_at=start_at, end_at=one.end_at))
    return tuple(found)


def balance(
    produced: Sequence[ModelProduction],
    *,
    received: Mapping[Period, Received],
    window: Period,
    allowed_share: Fraction,
) -> MassBalance:
    """Compare each model over its own periods, and name what came in of it at other times of the
    window, in a row of its own; of a model that no engine has, at any time.

    ``received``: what events brought in, for the window and for each period of a model, hidden
    ones, too.
    ``allowed_share``: a difference up to this share of what was produced is no finding.
    """
    rows = [
        _row(one, unit=unit, received=received, allowed_share=allowed_share)
        for one in produced
        for unit in PRODUCED_UNITS
    ]
    known = {one.model: (*one.periods, *one.hidden) for one in produced}
    for model in sorted({model for model, _ in received[window]}):
        for unit in PRODUCED_UNITS:
            count = _count(received[window], model=model, unit=unit) - sum(
                _count(received[period], model=model, unit=unit) for period in known.get(model, ())
            )
            if count:
                rows.append(
                    BalanceRow(
                        model=model, unit=unit, produced=0, received=count, verdict="not scraped"
                    )
                )
    return MassBalance(
        window=window,
        rows=tuple(rows),
        hidden={one.model: one.hidden for one in produced if one.hidden},
    )


def _row(
    one: ModelProduction,
    *,
    unit: ProducedUnit,
    received: Mapping[Period, Received],
    allowed_share: Fraction,
) -> BalanceRow:
    count = sum(_count(received[period], model=one.model, unit=unit) for period in one.periods)
    produced = one.produced[unit]
    verdict: BalanceVerdict = "balanced"
    if not one.periods:
        verdict = "unknown"
    elif abs(count - produced) > allowed_share * produced:
        verdict = "lost" if count < produced else "surplus"
    return BalanceRow(
        model=one.model, unit=unit, produced=produced, received=count, verdict=verdict
    )


def _count(received: Received, *, model: str, unit: ProducedUnit) -> int:
    """All leaves of a model that are part of a unit."""
    return sum(
        count
        for (named, leaf), count in received.items()
        if named == model and UNITS[unit].contains(UNITS[leaf])
    )
