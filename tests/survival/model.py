"""What a store must hold, worked out from dicts, one event at a time.

Invariant: nothing here is worked out by a function of the store or of an engine; an event and its
digest are as intake made them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.operations.writer import Submission
from billing.store.events import NewEvent
from pricing_rules.period import Period

Key = tuple[str, str, str]
"""Owner, source, id."""


@dataclass(slots=True)
class Known:
    """An event that is stored, in which epoch, and by which correction it is void, "" for none."""

    event: NewEvent
    epoch: int
    void_by: str = ""


@dataclass(slots=True)
class Made:
    """A correction that was made: what it voided, and what it added."""

    kind: str
    voided: Key
    added: Key | None
    reverted: bool = False


@dataclass(slots=True, kw_only=True)
class Model:
    """All that was done to a store, and what follows."""

    epoch: int = 1
    facts_in_epoch: int = 0
    events: dict[Key, Known] = field(default_factory=dict)
    corrections: dict[str, Made] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    totals: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """By account, epoch and unit."""

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
        first: dict[Key, NewEvent] = {}
        for _, event in rows:
            key = (owner, event.source, event.id)
            rank = (event.occurred_at, event.payload_digest, event.account)
            best = first.setdefault(key, event)
            if rank < (best.occurred_at, best.payload_digest, best.account):
                first[key] = event
        given = []
        for place, event in rows:
            key = (owner, event.source, event.id)
            if first[key] is event and key not in self.events:
                self.add(key, event=event)
                given.append((place, "accepted"))
                continue
            stands = self.events[key].event if key in self.events else first[key]
            same = (stands.payload_digest, stands.account) == (event.payload_digest, event.account)
            given.append((place, "duplicate" if same else "conflict"))
        return given

    def add(self, key: Key, *, event: NewEvent) -> None:
        """Store a new event."""
        self.events[key] = Known(event, self.epoch)
        self._count(event, sign=1)

    def correct(self, key: Key, *, by: NewEvent | None) -> tuple[str, Made | None]:
        """Void an event, or amend it; gives the verdict, and what was made."""
        kind = "void" if by is None else "amend"
        known = self.events.get(key)
        if known is None:
            return "rejected", None
        added = None if by is None else (key[0], by.source, by.id)
        if known.void_by:
            before = self.corrections[known.void_by]
            same = before.voided == key and before.kind == kind
            if by is not None and before.added is not None:
                stored = self.events[before.added].event
                same &= before.added == added and stored.payload_digest == by.payload_digest
            return ("duplicate" if same else "conflict"), None
        if by is not None and added is not None:
            if added == key or by.account != known.event.account:
                return "rejected", None
            if added in self.events:
                return "conflict", None
            self.add(added, event=by)
            self.counters["accepted"] += 1
        self._count(known.event, sign=-1)
        return "accepted", Made(kind, voided=key, added=added)

    def name(self, made: Made, *, correction: str) -> None:
        """Remember a correction under the name that the store gave it."""
        self.corrections[correction] = made
        self.events[made.voided].void_by = correction

    def may_revert(self, correction: str) -> bool:
        """Whether what it added was not corrected since."""
        made = self.corrections[correction]
        return made.added is None or not self.events[made.added].void_by

    def revert(self, correction: str) -> None:
        """Let what it voided count again, and what it added not."""
        made = self.corrections[correction]
        made.reverted = True
        voided = self.events[made.voided]
        voided.void_by = ""
        self._count(voided.event, sign=1)
        if made.added is not None:
            added = self.events[made.added]
            added.void_by = correction
            self._count(added.event, sign=-1)

    def seal(self) -> None:
        """What comes now is in the next epoch."""
        self.epoch += 1
        self.facts_in_epoch = 0

    def usage(self, account: str, *, period: Period) -> Counter[tuple[str, str]]:
        """The sums of an account in a period, by model and unit."""
        found: Counter[tuple[str, str]] = Counter()
        for known in self.events.values():
            event = known.event
            within = period.start_at <= event.occurred_at < period.end_at
            if event.account == account and within and not known.void_by:
                for unit, count in (("requests", 1), *event.units.items()):
                    found[event.model, unit] += count
        return found

    def _count(self, event: NewEvent, *, sign: int) -> None:
        self.facts_in_epoch += 1
        for unit, count in (("requests", 1), *event.units.items()):
            self.totals[event.account, self.epoch, unit] += sign * count
