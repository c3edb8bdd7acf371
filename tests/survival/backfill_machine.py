"""Anything is done to a store, as the machine does it, and usage is stated anew by backfills, too.

Invariant: after each step what is staged and what the store says of each backfill is what the model
says, with and without crashes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from billing.store.store import Connection
from pricing_rules.period import Period, moment_text, parse_moment
from tests.survival.machine import COMMIT_POINTS, FIRED, HOUR, START_AT, Machine, events, groups
from tests.survival.model import Opened
from tests.survival.steps import REFUSED, do, new_events

Json = Any

_CORRECTED = (
    "correction.steps_appended",
    "totals.added",
    "webhook.sendings_appended",
)

DYING: Mapping[str, tuple[str, ...]] = {
    "open": ("backfill.appended", *COMMIT_POINTS),
    "stage": ("backfill.events_staged", *COMMIT_POINTS),
    "drop": ("backfill.events_removed", *COMMIT_POINTS),
    "apply": (
        "backfill.events_stored",
        *_CORRECTED,
        "backfill.events_removed",
        *COMMIT_POINTS,
    ),
    "revert backfill": (*_CORRECTED, *COMMIT_POINTS),
}
"""The points at which each of these steps dies."""

ranges = st.tuples(st.sampled_from("ab"), st.integers(-60, -6), st.integers(6, 60))
"""Of an account, from this hour on, so many hours."""

deaths = st.none() | st.integers(0, 20)


def within(event: Json, *, backfill: Opened) -> Json:
    """An event of the account of a backfill; most are moved into its range."""
    moved = {**event, "subject": backfill.account}
    hour = (parse_moment(event["time"]) - START_AT) // HOUR if "time" in event else 0
    if hour % 5:
        hours = (backfill.period.end_at - backfill.period.start_at) // HOUR
        moved["time"] = moment_text(backfill.period.start_at + hour % hours * HOUR)
    return moved


class BackfillMachine(Machine):
    """The machine, with backfills of the accounts."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[str, Mapping[str, int]] = {}

    @initialize(
        group=groups, account=st.sampled_from("ab"), data=st.data(), place=st.integers(0, 20)
    )
    def was_stated(self, group: list[Json], account: str, data: st.DataObject, place: int) -> None:
        """Each run has usage that a backfill voids, and one that restores what it states, over
        which a process dies; some are staged anew, or refused at first.
        """
        self.submit(group, at="")
        everything = (account, -60, 62)
        name = self.opened(everything, place=None)
        self.stage(name, data=data, place=None, again=[])
        self.apply(name, place=None, missing=0)
        name = self.opened(everything, place=None)
        self.stage(name, data=data, place=None)
        if place % 4 == 0:
            self.drop(name, place=None)
            self.stage(name, data=data, place=None)
        if place % 3 == 0:
            self.apply(name, place=None, missing=1)
        self.apply(name, place=place, missing=0)

    @rule(
        what=ranges,
        data=st.data(),
        applied=st.sampled_from([True, True, False]),
        dying=st.sampled_from(["apply", "apply", "stage", "open"]),
        place=deaths,
    )
    def stated(
        self,
        what: tuple[str, int, int],
        data: st.DataObject,
        applied: bool,
        dying: str,
        place: int | None,
    ) -> None:
        """A backfill from opening to applying it; what a process did not do before it died is done
        again.
        """
        places = {dying: place}
        name = self.opened(what, place=places.get("open"))
        self.stage(name, data=data, place=places.get("stage"))
        if applied:
            self.apply(name, place=places.get("apply"), missing=0)

    def opened(self, what: tuple[str, int, int], *, place: int | None) -> str:
        """A new backfill, opened again where a process died over it."""
        account, start, hours = what
        name = f"bf_{len(self.model.backfills)}"
        period = Period(start_at=START_AT + start * HOUR, end_at=START_AT + (start + hours) * HOUR)
        fields = {
            "backfill": name,
            "account": account,
            "period": [period.start_at, period.end_at],
        }
        if not self.done("open", expected=None, place=place, **fields):
            self.done("open", expected=None, place=None, **fields)
        self.model.backfills[name] = Opened(account=account, period=period)
        return name

    @precondition(lambda self: self.model.backfills)
    @rule(
        data=st.data(),
        what=st.sampled_from(["stage", "apply", "apply", "apply one more", "drop"]),
        place=deaths,
    )
    def goes_on(self, data: st.DataObject, what: str, place: int | None) -> None:
        """Also again, and by who thinks that more was staged."""
        name = self.drawn(data)
        if what == "stage":
            self.stage(name, data=data, place=place)
        elif what == "drop":
            self.drop(name, place=place)
        else:
            self.apply(name, place=place, missing=int(what == "apply one more"))

    def stage(
        self,
        name: str,
        *,
        data: st.DataObject,
        place: int | None,
        again: Sequence[Json] | None = None,
    ) -> None:
        """Events that were sent before, all or some where not given, and others, most of them in
        the range.
        """
        one = self.model.backfills[name]
        if again is None:
            again = self.stated_before(one)
            if again and data.draw(st.sampled_from(["all", "all", "some"])) == "some":
                again = data.draw(st.lists(st.sampled_from(again), max_size=6))
        more = data.draw(st.lists(events, min_size=1, max_size=3))
        sent = [*again, *(within(e, backfill=one) for e in more)]
        checked = new_events(sent, now_at=self.now_at)
        before = dict(one.staged)
        applied = name in self.model.corrections
        expected = REFUSED if applied else self.model.stage(name, events=checked)
        if not self.done("stage", expected=expected, place=place, backfill=name, events=sent):
            one.staged = before
        elif not applied:
            FIRED.update(f"staged: {verdict}" for verdict in expected)

    def stated_before(self, one: Opened) -> list[Json]:
        """What was sent of the account in the range, each once: some of it is void."""
        texts = dict.fromkeys(json.dumps(e) for e in self.sent if e["subject"] == one.account)
        found = [json.loads(text) for text in texts]
        return [
            e
            for e in found
            if "time" in e and one.period.start_at <= parse_moment(e["time"]) < one.period.end_at
        ]

    def drop(self, name: str, *, place: int | None) -> None:
        """Forget what is staged."""
        applied = name in self.model.corrections
        expected = REFUSED if applied else None
        if self.done("drop", expected=expected, place=place, backfill=name) and not applied:
            FIRED["dropped"] += bool(self.model.backfills[name].staged)
            self.model.backfills[name].staged = {}

    def apply(self, name: str, *, place: int | None, missing: int) -> None:
        """Apply it, where that is right; again where a process died over it, or it was before."""
        count = len(self.model.backfills[name].staged) + missing
        fields = {"backfill": name, "count": count}
        made = self.model.corrections.get(name)
        if made is not None:
            expected = REFUSED if made.reverted else self.changes[name]
        elif not self.model.may_apply(name, events=count):
            expected = REFUSED
            FIRED["backfill not applied"] += 1
        else:
            for _ in range(0 if place is None else 3):  # over and over
                if self.done("apply", expected=None, place=place, **fields):
                    break
            # What changes is known only when the model did it, which it does where the store did.
            expected = self.changes[name] = self.model.apply(name)
            FIRED.update({f"backfill {what}": n for what, n in expected.items()})
            FIRED["backfill applied"] += 1
        self.done("apply", expected=expected, place=None, **fields)

    @precondition(lambda self: self.model.backfills)
    @rule(data=st.data(), place=deaths)
    def backfill_reverted(self, data: st.DataObject, place: int | None) -> None:
        name = self.drawn(data)
        made = self.model.corrections.get(name)
        may = made is not None and (made.reverted or self.model.may_revert(name))
        new = made is not None and may and not made.reverted
        expected = "reverted" if may else REFUSED
        if self.done("revert backfill", expected=expected, place=place, backfill=name):
            FIRED["backfill reverted" if new else "backfill not reverted"] += 1
            if new:
                self.model.revert(name)

    def drawn(self, data: st.DataObject) -> str:
        """A backfill, the last one rather than others."""
        names = list(self.model.backfills)[::-1]
        return data.draw(st.sampled_from(names))

    def done(self, do_: str, *, expected: Json, place: int | None, **fields: Json) -> bool:
        """Whether a step was done, here or by a process that dies over it."""
        step = self.step(do_, **fields)
        if place is not None:
            self.deaths += 1
            points = DYING[do_]
            return self.dies(step, point=points[(place + self.deaths) % len(points)])
        self.same(do_, do(self.store, step=step), expected=expected)
        return True

    def compared(self, connection: Connection) -> Iterator[tuple[str, object, object]]:
        yield from super().compared(connection)
        rows = connection.exec_driver_sql("SELECT backfill, source, id FROM backfill_events")
        staged = Counter(tuple(row) for row in rows)
        expected = Counter(
            (name, source, event_id)
            for name, one in self.model.backfills.items()
            for _, source, event_id in one.staged
        )
        yield "staged", staged, expected
