"""Anything is done to a store, in any order, with crashes, and compared with a model.

Invariant: after each step totals, identities, counters, messages and the epoch of the store are
those of the model; ``FIRED`` counts what was done, so that a run in which a fault did not come is
seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from billing.operations.live_usage import UsageQuestion, usage_page
from billing.operations.not_found import NotFoundError
from billing.operations.verify import verify
from billing.store.deliveries import sum_deliveries
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent
from billing.store.store import Connection, open_store
from pricing_rules.period import MICROSECONDS, Period, moment_text, parse_moment
from tests.billing.operations.made_webhooks import ALL_KINDS, made
from tests.journeys.made_files import cloud_event, event
from tests.survival.forking import Give
from tests.survival.model import Key, Model, Told, same_content
from tests.survival.steps import REFUSED, Step, do, new_events, submissions

Json = Any

START_AT = parse_moment("2026-10-10T00:00:00Z")
HOUR = 3_600 * MICROSECONDS
USED = Period(start_at=START_AT - 72 * HOUR, end_at=START_AT + 24 * HOUR)

POINTS = (
    "write.begun",
    "events.looked_up",
    "events.ids_appended",
    "events.appended",
    "totals.added",
    "delivery.appended",
    "delivery.refusals_appended",
    "write.uncommitted",
    "write.committed",
)

COMMIT_POINTS = ("write.uncommitted", "write.committed")
REBUILD_POINTS = ("totals.removed", "totals.replaced", "write.uncommitted")

FIRED: Counter[str] = Counter()
"""What was done, over all runs of a process."""


CORRECTED = "event.corrected"


class DamageError(AssertionError):
    """The store is not what the model says."""


hours = st.integers(-60, 1)
timed = st.builds(
    lambda number, count, hour, account, source, model: cloud_event(
        event(
            number,
            {"input_tokens": count},
            time=moment_text(START_AT + hour * HOUR),
            account=account,
            source=source,
            model=model,
        )
    ),
    st.integers(1, 9),
    st.integers(1, 4),
    hours,
    st.sampled_from("ab"),
    st.sampled_from(["gw", "edge"]),
    st.sampled_from("mn"),
)
timeless = timed.map(lambda one: {name: one[name] for name in one if name != "time"})
"""Events that happened when they come in."""
events = timed | timed | timeless
requests = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["", "", "a"]),
        "events": st.lists(events | events | events | st.just(5), min_size=2, max_size=5),
    }
)
groups = st.lists(requests, min_size=1, max_size=3)
deaths = st.none() | st.none() | st.integers(0, len(POINTS) - 1)
"""Whether a process dies over a step, and where: see ``Machine.point``."""


class Machine(RuleBasedStateMachine):
    """``place`` makes a store for one run, ``give`` lets another process do a step and die."""

    place: Callable[[], AbstractContextManager[str]]
    give: Give
    bug = ""

    def __init__(self) -> None:
        super().__init__()
        self.made = type(self).place()
        self.where = self.made.__enter__()
        self.store = open_store(self.where)
        self.wanting = {
            made(self.store, "http://127.0.0.1:9999/").endpoint.endpoint: ("", ALL_KINDS),
            made(
                self.store, "http://127.0.0.1:9999/", kinds=[CORRECTED], account="a"
            ).endpoint.endpoint: ("a", (CORRECTED,)),
        }
        self.model = Model()
        self.now_at = START_AT
        self.sealed_at = 0
        self.sent: list[Json] = []
        self.deaths = 0
        self.damaged = False

    def teardown(self) -> None:
        """Nothing of it stays; at its end it adds up."""
        try:
            if not self.damaged:
                self.verified()
        finally:
            self.store.close()
            self.made.__exit__(None, None, None)

    # What is done.

    @initialize(group=groups)
    def begin(self, group: list[Json]) -> None:
        self.submit(group, at="")

    @rule(group=groups, place=deaths)
    def something_comes(self, group: list[Json], place: int | None) -> None:
        self.submit(group, at=self.point(place))

    @rule(group=groups, hour=st.sampled_from([-25, -1, 1, 25]), place=deaths)
    def the_clock_jumps(self, group: list[Json], hour: int, place: int | None) -> None:
        self.now_at = max(START_AT - 26 * HOUR, self.now_at + hour * HOUR)
        FIRED["clock back" if hour < 0 else "clock on"] += 1
        self.submit(group, at=self.point(place))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), more=groups, place=deaths)
    def it_comes_again(self, data: st.DataObject, more: list[Json], place: int | None) -> None:
        again = data.draw(st.lists(st.sampled_from(self.sent), min_size=2, max_size=5))
        self.submit([{"account": "", "events": again}, *more], at=self.point(place))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), place=deaths)
    def another_comes(self, data: st.DataObject, place: int | None) -> None:
        known = data.draw(st.sampled_from(self.sent))
        units = {"input_tokens": known["data"]["units"]["input_tokens"] + 7}
        other = {**known, "data": {**known["data"], "units": units}}
        self.submit([{"account": "", "events": [other, known]}], at=self.point(place))

    @precondition(lambda self: self.model.events)
    @rule(data=st.data(), place=deaths)
    def void(self, data: st.DataObject, place: int | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.events, reverse=True)))
        self.correct(key, new=None, at=self.point(place))

    @precondition(lambda self: self.model.events)
    @rule(data=st.data(), new=events, number=st.integers(0, 6), place=deaths)
    def amend(self, data: st.DataObject, new: Json, number: int, place: int | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.events, reverse=True)))
        account = self.model.events[key].event.account if number else new["subject"]
        another = f"amended-{number}" if number < 5 else new["id"]
        new = {**new, "subject": account, "id": another}
        self.correct(key, new=new, at=self.point(place))

    def correct(self, key: Key, *, new: Json, at: str) -> None:
        """Void or amend an event of the provider, whoever owns the one that was drawn."""
        _, source, event_id = key
        asked = {"source": source, "id": event_id, "event": new}
        step = self.step("correct", corrections=[asked])
        checked = [] if new is None else new_events([new], now_at=self.now_at)
        if new is not None and not checked:
            return  # refused before it is asked for
        by = checked[0] if checked else None
        before = self.names()
        if at and not self.dies(step, point=at):
            return
        said, made = self.model.correct(("provider", source, event_id), by=by)
        if not at:
            self.same("verdict of a correction", do(self.store, step=step), expected=[said])
        FIRED[f"{'void' if new is None else 'amend'}: {said}"] += 1
        names = self.names() - before
        self.same("corrections made", len(names), expected=int(made is not None))
        if made is not None:
            self.model.name(made, correction=names.pop())

    @precondition(lambda self: self.model.corrections)
    @rule(data=st.data(), place=deaths)
    def revert(self, data: st.DataObject, place: int | None) -> None:
        at = self.point(place)
        name = data.draw(st.sampled_from(list(self.model.corrections)))
        step = self.step("revert", correction=name)
        made = self.model.corrections[name]
        new = not made.reverted
        may = not new or (made.kind != "backfill" and self.model.may_revert(name))
        if at and not self.dies(step, point=at):
            return
        if not at:
            said = do(self.store, step=step)
            self.same("a reversal", said, expected=new if may else REFUSED)
        FIRED["revert" if new and may else "revert: nothing"] += 1
        if new and may:
            self.model.revert(name)

    @rule(
        hour=st.sampled_from([0, -1, 0]),
        at=st.sampled_from(["", "", "webhook.sendings_appended", *COMMIT_POINTS]),
    )
    def seal(self, hour: int, at: str) -> None:
        """Also by who has a clock that is slow."""
        now_at = self.now_at + hour * HOUR
        step = {"do": "seal", "now_at": now_at}
        backwards = now_at < self.sealed_at
        new = not backwards and bool(self.model.facts_in_epoch or not self.sealed_at)
        if at and not self.dies(step, point=at):
            return
        if not at:
            said = do(self.store, step=step)
            self.same("a seal", said, expected=REFUSED if backwards else new)
        FIRED["seal" if new else "seal: refused" if backwards else "seal: nothing"] += 1
        if new:
            self.sealed_at = now_at
            self.model.seal()

    @rule(hour=hours, at=st.sampled_from(["none", "", *REBUILD_POINTS]))
    def prices_change(self, hour: int, at: str) -> None:
        do(self.store, step=self.step("cut", instant_at=START_AT + hour * HOUR))
        FIRED["cut"] += 1
        step = self.step("rebuild")
        if at in REBUILD_POINTS:
            self.dies(step, point=at)
        elif not at:
            FIRED["rebuild"] += do(self.store, step=step) > 0

    # What is asked.

    @rule(
        account=st.sampled_from("ab"),
        limit=st.integers(1, 3),
        all_of_it=st.sampled_from([True, False, False]),
    )
    def asked(self, account: str, limit: int, all_of_it: bool) -> None:
        if any(known.event.account == account for known in self.model.events.values()):
            self.same_usage(account, limit=limit)
        else:
            with pytest.raises(NotFoundError):
                self.same_usage(account, limit=limit)
        if all_of_it:
            self.verified()

    # How it is done and compared.

    def step(self, do_: str, **fields: Json) -> Step:
        """A step at the moment that the clock shows."""
        return {"do": do_, "now_at": self.now_at, **fields}

    def submit(self, group: list[Json], *, at: str) -> None:
        """Requests that are stored together, or a process that dies over them."""
        step = self.step("submit", requests=group)
        if at and not self.dies(step, point=at):
            return
        requests = submissions(step)
        last_at = max((k.event.occurred_at for k in self.model.events.values()), default=0)
        early = [e for one in requests for e in one.events if e.occurred_at < last_at]
        FIRED["out of order"] += len(early)
        FIRED["rejected"] += sum(len(one.refused) for one in requests)
        FIRED["timeless again"] += sum(
            self.came_at_another_moment(e, owner=one.owner) for one in requests for e in one.events
        )
        expected = self.model.submit(requests)
        FIRED.update(verdict for some in expected for verdict in some)
        if not at:
            self.same("verdicts", do(self.store, step=step), expected=expected)
        self.sent += self.plain(group)

    def came_at_another_moment(self, event: NewEvent, *, owner: str) -> bool:
        """Whether an event that states no moment is stored since another one."""
        known = self.model.events.get((owner, event.source, event.id))
        if known is None or event.timed_by == "event" or not same_content(known.event, event):
            return False
        return known.event.occurred_at != event.occurred_at

    def plain(self, group: list[Json]) -> list[Json]:
        """The events of the provider in a group, to be sent again."""
        return [e for one in group if not one["account"] for e in one["events"] if e != 5]

    def point(self, place: int | None) -> str:
        """The point at which a step dies, "" for none: of many deaths in one run, all come."""
        self.deaths += 1
        return "" if place is None else POINTS[(place + 4 * self.deaths) % len(POINTS)]

    def dies(self, step: Step, *, point: str) -> bool:
        """Let a process do it that dies at a point, if it gets there; whether it was done."""
        self.store.close()  # nobody else has it open then; it opens by itself when it is used
        ended = self.give({"store": self.where, "step": step, "point": point, "bug": self.bug})
        if ended:
            FIRED[f"{step['do']} killed at {point}"] += 1
            FIRED[f"killed at {point}"] += 1
        return not ended or point == "write.committed"

    def same_usage(self, account: str, *, limit: int) -> None:
        """What the account used, in pages of so many sums."""
        question = UsageQuestion(account=account, period=USED, step="period", labels=("model",))
        found: dict[tuple[str, str], int] = {}
        cursor = None
        while True:
            page = usage_page(self.store, question=question, limit=limit, cursor=cursor)
            found |= {(one.labels[0] or "", one.unit): one.count for one in page.rows}
            cursor = page.cursor
            if cursor is None:
                break
            FIRED["page"] += 1
        expected = {key: n for key, n in self.model.usage(account, period=USED).items() if n}
        self.same("usage", {key: n for key, n in found.items() if n}, expected=expected)

    def verified(self) -> None:
        """The store adds up."""
        found = verify(self.store).verified
        wrong = [one.text() for one in found.equations if not one.holds]
        self.same("verify", wrong + [one.sentence for one in found.damage], expected=[])
        FIRED["verified"] += 1

    def names(self) -> set[str]:
        with self.store.read() as connection:
            found = connection.exec_driver_sql(
                "SELECT correction FROM corrections WHERE kind IN ('void', 'amend')"
            )
            return set(found.scalars())

    def same(self, what: str, found: object, *, expected: object) -> None:
        if found != expected:
            self.damaged = True
            raise DamageError(f"{what}: {found}, expected {expected}")

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Hypothesis calls it after each step."""
        super().check_invariants(*args, **kwargs)
        with self.store.read() as connection:
            for what, found, expected in self.compared(connection):
                self.same(what, found, expected=expected)

    def compared(self, connection: Connection) -> Iterator[tuple[str, object, object]]:
        totals: Counter[tuple[str, int, str]] = Counter()
        for account, epoch, requests, leaves in connection.exec_driver_sql(
            "SELECT account, epoch, events, leaves FROM usage_totals"
        ):
            counts = {"requests": requests, **json.loads(leaves)}
            totals.update({(account, epoch, unit): count for unit, count in counts.items()})
        yield "totals", totals, self.model.totals
        ids = connection.exec_driver_sql("SELECT owner, source, id, payload_digest FROM event_ids")
        known = {(*key, one.event.payload_digest) for key, one in self.model.events.items()}
        yield "identities", {tuple(row) for row in ids}, known
        yield "epoch", current_epoch(connection), self.model.epoch
        sums = sum_deliveries(connection)
        names = ("accepted", "duplicate", "conflict", "rejected")
        counted = {name: getattr(sums, name) for name in names}
        yield "counters", counted, {name: self.model.counters[name] for name in names}
        yield "received", sums.received, self.model.counters.total()
        for endpoint, (account, kinds) in self.wanting.items():
            wanted = {
                one: n
                for one, n in self.model.messages.items()
                if one[0] in kinds and account in ("", one[1])
            }
            yield "messages", messages_at(connection, endpoint=endpoint), wanted


def messages_at(connection: Connection, *, endpoint: str) -> Counter[Told]:
    """What waits at an endpoint."""
    rows = connection.exec_driver_sql(
        "SELECT kind, account, data FROM webhook_messages AS told JOIN webhook_sendings AS waiting "
        f"ON waiting.message = told.seq WHERE state = 'pending' AND endpoint = '{endpoint}'"
    )
    return Counter(
        told(kind, account=account, data=json.loads(data)) for kind, account, data in rows
    )


def told(kind: str, *, account: str, data: Json) -> Told:
    """A message as the model has it."""
    what = data.get("backfill") or data.get("correction") or "an epoch"
    if "reverts" in data:
        what = f"reversal of {data['reverts']}"
    return kind, account, what, data["epoch"]
