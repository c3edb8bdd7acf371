"""What a store must hold, worked out from dicts, one event at a time.

Invariant: nothing here is worked out by a function of the store or of an engine; an event is as
intake made it, and two have the same content where all that is stored of them is equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from billing.operations.writer import Submission
from billing.store.events import NewEvent
from pricing_rules.period import Period

Key = tuple[str, str, str]
"""Owner, source, id."""

Told = tuple[str, str, str, int]
"""A message: kind, account, of what, and the epoch that it names."""

PROVIDER = "provider"


def same_content(one: NewEvent, other: NewEvent) -> bool:
    """Whether what is stored of two events is equal; of one that states no moment, all but that."""
    return _content(one) == _content(other)


def _content(event: NewEvent) -> tuple[object, ...]:
    moment = event.occurred_at if event.timed_by == "event" else "receipt"
    rest = (event.model, event.service_tier, event.region, event.request_tokens, event.outcome)
    return (event.account, moment, *rest, dict(event.dimensions), dict(event.units))


def _rank(event: NewEvent) -> tuple[int, str, str]:
    return event.occurred_at, event.payload_digest, event.account


@dataclass(slots=True)
class Known:
    """An event that is stored, in which epoch, and what turned it: void, counting, void, ..."""

    event: NewEvent
    epoch: int
    turned_by: list[str] = field(default_factory=list)

    @property
    def void(self) -> bool:
        """Whether it counts nowhere."""
        return len(self.turned_by) % 2 == 1


@dataclass(slots=True, kw_only=True)
class Made:
    """A correction that was made: the events that it turned, and those that it added.

    ``period``: what a backfill states; None for others.
    """

    kind: str
    account: str
    turned: Sequence[Key]
    added: Sequence[Key]
    period: Period | None = None
    reverted: bool = False


@dataclass(slots=True, kw_only=True)
class Opened:
    """A backfill that was opened, and what is staged for it."""

    account: str
    period: Period
    staged: dict[Key, NewEvent] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Model:
    """All that was done to a store, and what follows."""

    epoch: int = 1
    facts_in_epoch: int = 0
    events: dict[Key, Known] = field(default_factory=dict)
    corrections: dict[str, Made] = field(default_factory=dict)
    """In the order in which they were made."""
    backfills: dict[str, Opened] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    totals: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """By account, epoch and unit."""
    messages: Counter[Told] = field(default_factory=Counter)

    def submit(self, group: Sequence[Submission]) -> list[list[str]]:
        """Store the requests of a group; gives the verdicts of each."""
        verdicts: dict[int, list[str]] = {}
        for owner in {one.owner for one in group}:
            rows = [
                (place, event)
                for place, one in enumerate(group)
                if one.owner == owner
                for event in one.events
            ]
            for place, verdict in self._submit(owner, rows=rows):
                verdicts.setdefault(place, []).append(verdict)
        given = [verdicts.get(place, []) for place in range(len(group))]
        self.counters += Counter(verdict for some in given for verdict in some)
        self.counters["rejected"] += sum(len(one.refused) for one in group)
        return given

    def _submit(self, owner: str, *, rows: Sequence[tuple[int, NewEvent]]) -> list[tuple[int, str]]:
        first = _first([(owner, event) for _, event in rows])
        given = []
        for place, event in rows:
            key = (owner, event.source, event.id)
            if first[key] is event and key not in self.events:
                self.add(key, event=event)
                given.append((place, "accepted"))
                continue
            stands = self.events[key].event if key in self.events else first[key]
            given.append((place, "duplicate" if same_content(stands, event) else "conflict"))
        return given

    def add(self, key: Key, *, event: NewEvent) -> None:
        """Store a new event."""
        self.events[key] = Known(event, self.epoch)
        self._count(event, sign=1)

    # Corrections.

    def correct(self, key: Key, *, by: NewEvent | None) -> tuple[str, Made | None]:
        """Void an event, or amend it; gives the verdict, and what was made."""
        kind = "void" if by is None else "amend"
        known = self.events.get(key)
        if known is None:
            return "rejected", None
        added = [] if by is None else [(key[0], by.source, by.id)]
        if known.void:
            before = self.corrections.get(known.turned_by[-1])
            same = before is not None and (before.kind, before.added) == (kind, added)
            if same and by is not None:
                same = same_content(self.events[added[0]].event, by)
            return ("duplicate" if same else "conflict"), None
        if by is not None:
            if added == [key] or by.account != known.event.account:
                return "rejected", None
            if added[0] in self.events:
                return "conflict", None
            self.add(added[0], event=by)
            self.counters["accepted"] += 1
        made = Made(kind=kind, account=known.event.account, turned=[key], added=added)
        return "accepted", made

    def name(self, made: Made, *, correction: str) -> None:
        """Remember a correction under the name that the store gave it."""
        self.corrections[correction] = made
        self._turn(made.turned, by=correction)
        self._tell("event.corrected", account=made.account, what=correction)

    def may_revert(self, correction: str) -> bool:
        """Whether nothing in force came after it that rests on what it did."""
        made = self.corrections[correction]
        names = list(self.corrections)
        later = {
            name
            for name in names[names.index(correction) + 1 :]
            if not self.corrections[name].reverted
        }
        turned_since = {
            name for key in (*made.turned, *made.added) for name in self.events[key].turned_by
        }
        stated_since = any(
            self._states_what_was_touched(self.corrections[name], made=made) for name in later
        )
        return not later & turned_since and not stated_since

    def _states_what_was_touched(self, later: Made, *, made: Made) -> bool:
        if later.period is None or later.account != made.account:
            return False
        if made.period is not None:
            return _overlap(later.period, made.period)
        moments = [self.events[key].event.occurred_at for key in (*made.turned, *made.added)]
        return any(_within(later.period, moment) for moment in moments)

    def revert(self, correction: str) -> None:
        """Let what it voided count again, and what it added not."""
        made = self.corrections[correction]
        made.reverted = True
        self._turn((*made.turned, *made.added), by=f"reversal of {correction}")
        self._tell("event.corrected", account=made.account, what=f"reversal of {correction}")

    # Backfills.

    def stage(self, backfill: str, *, events: Sequence[NewEvent]) -> list[str]:
        """Stage events of the provider; gives the verdict of each."""
        one = self.backfills[backfill]
        fit = [
            event.account == one.account
            and event.timed_by == "event"
            and _within(one.period, event.occurred_at)
            for event in events
        ]
        free = [
            (PROVIDER, event)
            for event, is_fit in zip(events, fit, strict=True)
            if is_fit and not self._taken(event)
        ]
        first = {key: event for key, event in _first(free).items() if key not in one.staged}
        one.staged |= first
        verdicts = []
        for event, is_fit in zip(events, fit, strict=True):
            key = (PROVIDER, event.source, event.id)
            if not is_fit:
                verdicts.append("rejected")
            elif first.get(key) is event:
                verdicts.append("accepted")
            elif self._taken(event) or not same_content(one.staged[key], event):
                verdicts.append("conflict")
            else:
                verdicts.append("duplicate")
        return verdicts

    def may_apply(self, backfill: str, *, events: int) -> bool:
        """Whether an open backfill of so many events is applied."""
        staged = self.backfills[backfill].staged.values()
        return len(staged) == events and not any(self._taken(event) for event in staged)

    def apply(self, backfill: str) -> Mapping[str, int]:
        """Make the staged events those of the account in the period; gives what changed."""
        one = self.backfills[backfill]
        inside = {
            key: known
            for key, known in self.events.items()
            if known.event.account == one.account and _within(one.period, known.event.occurred_at)
        }
        turned = [key for key, known in inside.items() if known.void == (key in one.staged)]
        added = [key for key in one.staged if key not in self.events]
        for key in added:
            self.add(key, event=one.staged[key])
        restored = sum(key in one.staged for key in turned)
        changes = {
            "added": len(added),
            "kept": len(one.staged) - len(added) - restored,
            "restored": restored,
            "voided": len(turned) - restored,
        }
        self.counters["accepted"] += len(added)
        self.counters["duplicate"] += len(one.staged) - len(added)
        self.corrections[backfill] = Made(
            kind="backfill", account=one.account, turned=turned, added=added, period=one.period
        )
        self._turn(turned, by=backfill)
        self._tell("backfill.applied", account=one.account, what=backfill)
        one.staged.clear()
        return changes

    def _taken(self, event: NewEvent) -> bool:
        """Whether another content has its id."""
        known = self.events.get((PROVIDER, event.source, event.id))
        return known is not None and not same_content(known.event, event)

    # The rest.

    def seal(self) -> None:
        """What comes now is in the next epoch."""
        self._tell("epoch.sealed", account="", what="an epoch")
        self.epoch += 1
        self.facts_in_epoch = 0

    def usage(self, account: str, *, period: Period) -> Counter[tuple[str, str]]:
        """The sums of an account in a period, by model and unit."""
        found: Counter[tuple[str, str]] = Counter()
        for known in self.events.values():
            event = known.event
            if event.account == account and _within(period, event.occurred_at) and not known.void:
                for unit, count in (("requests", 1), *event.units.items()):
                    found[event.model, unit] += count
        return found

    def _turn(self, keys: Collection[Key], *, by: str) -> None:
        for key in keys:
            known = self.events[key]
            self._count(known.event, sign=1 if known.void else -1)
            known.turned_by.append(by)

    def _count(self, event: NewEvent, *, sign: int) -> None:
        self.facts_in_epoch += 1
        for unit, count in (("requests", 1), *event.units.items()):
            self.totals[event.account, self.epoch, unit] += sign * count

    def _tell(self, kind: str, *, account: str, what: str) -> None:
        self.messages[kind, account, what, self.epoch] += 1


def _first(rows: Sequence[tuple[str, NewEvent]]) -> dict[Key, NewEvent]:
    """Of each identity the first event by moment, digest and account, wherever it is."""
    first: dict[Key, NewEvent] = {}
    for owner, event in rows:
        key = (owner, event.source, event.id)
        if key not in first or _rank(event) < _rank(first[key]):
            first[key] = event
    return first


def _within(period: Period, moment: int) -> bool:
    return period.start_at <= moment < period.end_at


def _overlap(one: Period, other: Period) -> bool:
    return one.start_at < other.end_at and other.start_at < one.end_at
