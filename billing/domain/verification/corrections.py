"""Corrections beside the events that they correct.

Invariant: each step of an event is one of a correction of the same account and epoch, none is
missing between two others, and a correction has as many as it says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from billing.domain.verification.equations import Damage, Verified


class StepFound(Protocol):
    """A step of an event beside its event and its correction; None where one is not there."""

    @property
    def event(self) -> int:
        """The number of the event."""

    @property
    def step(self) -> int:
        """The number of the step; odd ones void the event, even ones restore it."""

    @property
    def account(self) -> str:
        """Whose event it is, as the step says."""

    @property
    def epoch(self) -> int:
        """The epoch in which it counts."""

    @property
    def correction(self) -> str:
        """The correction that took it."""

    @property
    def event_account(self) -> str | None:
        """Whose event it is, as the event says."""

    @property
    def event_epoch(self) -> int | None:
        """The epoch in which the event came."""

    @property
    def correction_account(self) -> str | None:
        """Whose events the correction corrects."""

    @property
    def correction_epoch(self) -> int | None:
        """The epoch in which the correction counts."""


class StepsCounted(Protocol):
    """How many steps a correction says that it took, None where it cannot be read, and has."""

    @property
    def correction(self) -> str:
        """The correction."""

    @property
    def said(self) -> int | None:
        """What it says."""

    @property
    def steps(self) -> int:
        """What it has."""


class EventsNamed(Protocol):
    """The events that a void or an amendment names: ``taken`` by its step, and ``came`` with it.

    ``added``: what an amendment put in its place, "" for a void, with which nothing came.
    """

    @property
    def correction(self) -> str:
        """The correction."""

    @property
    def event(self) -> str:
        """The event that it voids."""

    @property
    def taken(self) -> bool:
        """Whether its step is of that event."""

    @property
    def added(self) -> str:
        """The event that came in its place."""

    @property
    def came(self) -> bool:
        """Whether that event is there, of the same account and epoch."""


class AddedCounted(Protocol):
    """How many events a backfill says that it added, and has."""

    @property
    def correction(self) -> str:
        """The correction that the backfill is."""

    @property
    def said(self) -> int:
        """What it says."""

    @property
    def events(self) -> int:
        """What it has."""


def corrections_as_recorded(
    *,
    odd_steps: Iterable[StepFound],
    lost_steps: Iterable[int],
    counted: Iterable[StepsCounted],
    named: Iterable[EventsNamed],
    added: Iterable[AddedCounted],
    audited: Collection[str],
) -> Verified:
    """Damage for each step that is not as its event and its correction say, each event that has
    lost one, each correction with other steps or events than it says, and each that was made and is
    not there, or is there and nobody made.

    ``odd_steps``: those that differ from their event or correction in anything. ``lost_steps``: the
    numbers of events. ``counted``: every correction; ``named``: every void and amendment;
    ``added``: every backfill. ``audited``: those whose making was recorded.
    """
    found = [_odd(one) for one in odd_steps]
    found += [
        Damage(
            kind="changed_correction",
            where=f"event number {event}",
            sentence="a step of its corrections is not there, and a later one is",
        )
        for event in lost_steps
    ]
    there: set[str] = set()
    for one in counted:
        there.add(one.correction)
        if one.said is None:
            found.append(_damage(one.correction, sentence="what it says of itself was changed"))
        elif one.said != one.steps:
            sentence = f"says {one.said:,} steps and has {one.steps:,}"
            found.append(_damage(one.correction, sentence=sentence))
    found += _other_events(named)
    found += [
        _damage(
            one.correction,
            sentence=f"says that it added {one.said:,} events and has {one.events:,}",
        )
        for one in added
        if one.said != one.events
    ]
    found += [
        _damage(name, sentence="is there, and nobody recorded that it was made")
        for name in sorted(there - set(audited))
    ]
    found += [
        _damage(name, sentence="was made, as the audit says, and is not there")
        for name in sorted(set(audited) - there)
    ]
    return Verified(damage=tuple(found))


def _other_events(named: Iterable[EventsNamed]) -> Iterator[Damage]:
    for one in named:
        if not one.taken:
            sentence = f"says that it voids the event {one.event}, and has no step of it"
            yield _damage(one.correction, sentence=sentence)
        if one.added and not one.came:
            sentence = f"says that the event {one.added} came with it, and it did not"
            yield _damage(one.correction, sentence=sentence)


def _odd(one: StepFound) -> Damage:
    if one.event_account is None or one.event_epoch is None:
        sentence = "its event is not there"
    elif one.correction_account is None:
        sentence = "its correction is not there"
    elif one.event_account != one.account:
        sentence = f"is of account {one.account}, and its event of {one.event_account}"
    elif one.correction_account != one.account:
        sentence = f"is of account {one.account}, and its correction of {one.correction_account}"
    elif one.correction_epoch != one.epoch:
        sentence = f"counts in epoch {one.epoch}, and its correction in {one.correction_epoch}"
    else:
        sentence = f"counts in epoch {one.epoch}, and its event came in {one.event_epoch}"
    where = f"{one.correction}, step {one.step} of event number {one.event}"
    return _damage(where, sentence=sentence)


def _damage(name: str, *, sentence: str) -> Damage:
    return Damage(kind="changed_correction", where=f"correction {name}", sentence=sentence)
