"""Equations of usage: deliveries, events, their states, and usage totals.

Invariant: every row that was received has one verdict, every accepted event has one state, and the
totals are the sums of the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, get_args

from billing.domain.invoice.invoice import Cover
from billing.domain.verification.equations import (
    Damage,
    Equation,
    Verified,
    compare,
    stored_moment_text,
)
from pricing_rules.usage.totals import Cell, UsageTotal
from pricing_rules.usage.units import REQUESTS

EventState = Literal["billed", "unbilled", "unpriced", "not billable", "waived", "voided"]
STATES: Final[tuple[EventState, ...]] = get_args(EventState)

AccountUnit = tuple[str, str]
"""An account and a unit; the unit ``requests`` counts events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCounts:
    """The committed counters of one delivery, and how many of its refused rows have each verdict.

    ``refused`` need only hold ``conflict`` and ``rejected``; others are not looked at.
    """

    name: str
    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    refused: Mapping[str, int]


def deliveries_add_up(deliveries: Iterable[DeliveryCounts], *, events: int) -> Verified:
    """received = accepted + duplicate + conflict + rejected, for each delivery and over all; its
    refused rows are as many as it counted; and accepted = the ``events`` that are stored.
    """
    sums = dict.fromkeys(("received", "accepted", "duplicate", "conflict", "rejected"), 0)
    found: list[Damage] = []
    for one in deliveries:
        for name in sums:
            sums[name] += getattr(one, name)
        parts = one.accepted + one.duplicate + one.conflict + one.rejected
        sentences = []
        if one.received != parts:
            sentences.append(
                f"received {one.received:,} is not accepted {one.accepted:,} + duplicate "
                f"{one.duplicate:,} + conflict {one.conflict:,} + rejected {one.rejected:,}"
            )
        for verdict, counted in (("conflict", one.conflict), ("rejected", one.rejected)):
            rows = one.refused.get(verdict, 0)
            if rows != counted:
                sentences.append(f"{verdict} {counted:,} is not the {rows:,} rows refused so")
        found += [
            Damage(kind="delivery_counter", where=f"delivery {one.name}", sentence=sentence)
            for sentence in sentences
        ]
    accepted = sums["accepted"]
    if accepted != events:
        found.append(
            Damage(
                kind="delivery_counter",
                where="deliveries",
                sentence=f"accepted {accepted:,} is not the {events:,} events that are stored",
            )
        )
    received, *parts_of = sums.items()
    return Verified(
        equations=(
            Equation(name="received", left=(received,), right=tuple(parts_of)),
            Equation(name="accepted", left=(("accepted", accepted),), right=(("events", events),)),
        ),
        damage=tuple(found),
    )


def events_have_ids(
    *,
    ids: int,
    events: int,
    missing: Iterable[str],
    extra: Iterable[str],
    changed: Iterable[str] = (),
) -> Verified:
    """event ids = events: every id that was taken has its event, and every event its id.

    ``ids`` and ``events`` are how many there are; ``missing`` names the ids without an event,
    ``extra`` the events without an id, ``changed`` those that differ from what took their id.
    """
    lost = [
        Damage(
            kind="missing_event",
            where=f"event {name}",
            sentence="its id was taken, and the event is not there",
        )
        for name in missing
    ]
    added = [
        Damage(
            kind="extra_event",
            where=f"event {name}",
            sentence="is stored, and its id was never taken",
        )
        for name in extra
    ]
    edited = [
        Damage(
            kind="changed_event",
            where=f"event {name}",
            sentence="its account, epoch or moment of coming in is not that which took its id",
        )
        for name in changed
    ]
    equation = Equation(name="events", left=(("event ids", ids),), right=(("events", events),))
    return Verified(equations=(equation,), damage=(*lost, *added, *edited))


class EventContent(NamedTuple):
    """The digest of the content that took the id of an event, and that of what is stored of it."""

    event: str
    taken: str
    stored: str


def contents_as_taken(contents: Iterable[EventContent]) -> Verified:
    """digests = events: what is stored of each event is the content that took its id."""
    events = same = 0
    found: list[Damage] = []
    for event, taken, stored in contents:
        events += 1
        if taken == stored:
            same += 1
            continue
        sentence = "what is stored of it is not the content that took its id"
        found.append(Damage(kind="changed_event", where=f"event {event}", sentence=sentence))
    equation = Equation(name="content", left=(("digests", same),), right=(("events", events),))
    found.sort(key=lambda damage: damage.where)
    return Verified(equations=(equation,), damage=tuple(found))


def counts_by_unit(totals: Iterable[UsageTotal]) -> dict[AccountUnit, int]:
    """The sums of totals over all cells of an account, by unit."""
    found: dict[AccountUnit, int] = {}
    for total in totals:
        for unit, count in ((REQUESTS, total.events), *total.leaves.items()):
            key = (total.cell.account, unit)
            found[key] = found.get(key, 0) + count
    return found


def cells_equal_events(stored: Iterable[UsageTotal], *, summed: Iterable[UsageTotal]) -> Verified:
    """Damage for each cell in which the stored total is not the sum of its events: where the sums
    over all cells agree, counts are in the wrong one.
    """
    left, right = ({t.cell: (t.events, dict(t.leaves)) for t in some} for some in (stored, summed))
    return Verified(
        damage=tuple(
            Damage(
                kind="total",
                where=_cell_text(cell),
                sentence=f"totals {_counts_text(left.get(cell))} are not events "
                f"{_counts_text(right.get(cell))}",
            )
            for cell in sorted(
                cell for cell in {*left, *right} if left.get(cell) != right.get(cell)
            )
        )
    )


def _cell_text(cell: Cell) -> str:
    return (
        f"account {cell.account}, epoch {cell.epoch}, segment from "
        f"{stored_moment_text(cell.segment_start_at)}, {cell.model} in {cell.service_tier}"
        f"{f', in {names}' if (names := ' and '.join(cell.windows)) else ''}"
    )


def _counts_text(counts: tuple[int, dict[str, int]] | None) -> str:
    if counts is None:
        return "none"
    events, leaves = counts
    return ", ".join(f"{unit} {n:,}" for unit, n in ((REQUESTS, events), *sorted(leaves.items())))


def counted_up(total: UsageTotal) -> UsageTotal:
    """A total of which all that was taken away counts as if it had been added."""
    leaves = {unit: abs(count) for unit, count in total.leaves.items()}
    return replace(total, events=max(abs(total.events), 1), leaves=leaves)


def state_of(
    occurred_at: int,
    *,
    epoch: int,
    billable: bool,
    rated: Literal["priced", "unpriced", "waived"],
    covers: Iterable[Cover],
) -> EventState:
    """The one state of an event, or of a cell by the start of its segment.

    ``billable``: by its outcome. ``rated``: whether a rate covers all of it, or a person waived the
    rest. ``covers``: those of all final invoices of its account; it is billed where one holds it.
    Voided events are not seen here: they have that state before any other.
    """
    if not billable:
        return "not billable"
    if rated != "priced":
        return rated
    billed = any(cover.holds(occurred_at, epoch=epoch) for cover in covers)
    return "billed" if billed else "unbilled"


def events_have_one_state(states: Mapping[EventState, int], *, accepted: int) -> Verified:
    """accepted = billed + unbilled + unpriced + not billable + waived + voided, in events."""
    equation = Equation(
        name="states",
        left=(("accepted", accepted),),
        right=tuple((state, states.get(state, 0)) for state in STATES),
    )
    if equation.holds:
        return Verified(equations=(equation,))
    damage = Damage(kind="event_state", where="events", sentence=equation.text())
    return Verified(equations=(equation,), damage=(damage,))


def totals_equal_events(
    totals: Mapping[AccountUnit, int], *, events: Mapping[AccountUnit, int]
) -> Verified:
    """totals = events, for each account and unit."""
    return compare(
        totals,
        right=events,
        name="totals",
        labels=("totals", "events"),
        kind="total",
        where=lambda key: f"account {key[0]}, {key[1]}",
    )
