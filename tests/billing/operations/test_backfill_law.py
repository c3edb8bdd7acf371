"""Any sequence of deliveries, backfills, reversals and seals ends as a dict would have it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.operations.backfill import stage
from billing.operations.correction import WantedCorrection, correct_events
from billing.operations.epoch import seal_epoch
from billing.operations.grid import AccountCuts, rebuild
from billing.operations.live_usage import UsageQuestion, usage_page
from billing.operations.new_events import sent_event
from billing.operations.reversal import revert
from billing.operations.taken_in import OWNER, keep_totals
from billing.operations.verify import verify
from billing.store.deliveries import Delivery, append_delivery
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, append_events
from billing.store.store import Store, open_store
from pricing_rules.document import DocumentError
from pricing_rules.period import MICROSECONDS, Period
from tests.billing.operations.made_backfill import (
    OCTOBER,
    applied,
    counting,
    opened,
    reverted,
    tokens,
)
from tests.billing.operations.made_ingest import NOW_AT, own_store
from tests.billing.store.postgresql_server import Server

HOUR = 3_600 * MICROSECONDS
HOURS = 6
IDS = range(12)

RANGES = st.tuples(st.integers(0, HOURS), st.integers(0, HOURS)).filter(lambda r: r[0] < r[1])
SETS = st.sets(st.sampled_from(IDS), max_size=8)
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), SETS),
        st.tuples(st.just("backfill"), RANGES, SETS),
        st.tuples(st.just("backfill"), RANGES, SETS),
        st.tuples(st.just("revert"), st.integers(0, 4)),
        st.tuples(st.just("void"), st.sampled_from(IDS)),
        st.tuples(st.just("void"), st.sampled_from(IDS)),
        st.tuples(st.just("restore"), st.integers(0, 4)),
        st.tuples(st.just("seal")),
        st.tuples(st.just("rebuild")),
    ),
    max_size=8,
).map(lambda rest: [("ingest", set(range(HOURS))), *rest])
"""Commands, after a first delivery: one event in each hour."""


def hour_of(number: int) -> int:
    """When an event happened: two events in each hour."""
    return number % HOURS


def made(number: int) -> NewEvent:
    """The event ``e<number>``, always with the same content."""
    moment_at = OCTOBER.start_at + hour_of(number) * HOUR
    fixed = (f"e{number}", "gw", "a", moment_at, "m", "standard", "", 2**number, "completed")
    counts = {"input_tokens": 2**number}
    return sent_event((fixed, counts, {}, counts), received_at=0)


@dataclass(slots=True, kw_only=True)
class Done:
    """A backfill that was applied: its hours, and the events whose state it turned over."""

    hours: tuple[int, int]
    turned: set[int]
    reverted: bool = False


@dataclass(slots=True, kw_only=True)
class Voided:
    """An event that was voided by a correction, and how many backfills there were by then."""

    number: int
    then: int
    correction: str
    reverted: bool = False


@dataclass(slots=True)
class Model:
    """Which events are stored and whether they count; what may be reverted."""

    counts: dict[int, bool] = field(default_factory=dict)
    backfills: list[Done] = field(default_factory=list)
    voided: list[Voided] = field(default_factory=list)

    def backfill(self, hours: tuple[int, int], *, stated: set[int]) -> None:
        """State the usage of some hours."""
        before = {n: counts for n, counts in self.counts.items() if counts}
        inside = {n for n in self.counts if hours[0] <= hour_of(n) < hours[1]}
        for number in inside | stated:
            self.counts[number] = number in stated
        turned = {n for n in inside | stated if self.counts[n] != before.get(n, False)}
        self.backfills.append(Done(hours=hours, turned=turned))

    def may_revert(self, nth: int) -> bool:
        """Whether nothing in force came after it that rests on it."""
        one = self.backfills[nth]
        overlapped = any(
            not other.reverted and other.hours[0] < one.hours[1] and one.hours[0] < other.hours[1]
            for other in self.backfills[nth + 1 :]
        )
        return not overlapped and not any(
            void.number in one.turned and void.then > nth and not void.reverted
            for void in self.voided
        )

    def may_restore(self, void: Voided) -> bool:
        """Whether no backfill in force came after it that says what is used at that time."""
        return not any(
            not one.reverted and one.hours[0] <= hour_of(void.number) < one.hours[1]
            for one in self.backfills[void.then :]
        )

    def revert(self, nth: int) -> None:
        """Turn back what a backfill turned over."""
        for number in self.backfills[nth].turned:
            self.counts[number] = not self.counts[number]
        self.backfills[nth].reverted = True


def run(store: Store, commands: list[tuple[Any, ...]]) -> None:
    """Do the commands in a store and in the model, and compare them after each."""
    model = Model()
    for at, (verb, *words) in enumerate(commands):
        now_at = NOW_AT + at
        if verb == "ingest":
            _ingest(store, words[0], now_at=now_at)
            for number in words[0]:
                model.counts.setdefault(number, True)
        elif verb == "backfill":
            _backfill(store, model, hours=words[0], wanted=words[1], now_at=now_at)
        elif verb == "revert" and words[0] < len(model.backfills):
            _revert(store, model, nth=words[0], now_at=now_at)
        elif verb == "void" and any(model.counts.values()):
            _void(store, model, nth=words[0], now_at=now_at)
        elif verb == "restore" and model.voided:
            void = model.voided[words[0] % len(model.voided)]
            _restore(store, model, void=void, now_at=now_at)
        elif verb == "seal":
            seal_epoch(store, by="me", now_at=now_at)
        elif verb == "rebuild" and model.counts:
            rebuild(store, accounts=["a"], by="me", now_at=now_at)
        _compare(store, model)
    _compare_live(store, model)
    assert verify(store).holds


def _ingest(store: Store, numbers: set[int], *, now_at: int) -> None:
    events = [made(number) for number in sorted(numbers)]
    with store.write() as connection:
        epoch = current_epoch(connection)
        verdicts = append_events(
            connection, owner=OWNER, rows=events, epoch=epoch, received_at=now_at
        )
        new = [e for e, one in zip(events, verdicts, strict=True) if one.kind == "accepted"]
        if new:
            keep_totals(connection, events=new, epoch=epoch, cuts=AccountCuts())
        delivery = Delivery(
            delivery=f"at {now_at}",
            file="law",
            first_row=1,
            received=len(events),
            accepted=len(new),
            duplicate=len(events) - len(new),
            conflict=0,
            rejected=0,
            received_at=now_at,
        )
        append_delivery(connection, delivery=delivery, refusals=())


def _backfill(
    store: Store, model: Model, *, hours: tuple[int, int], wanted: set[int], now_at: int
) -> None:
    start, end = (OCTOBER.start_at + hour * HOUR for hour in hours)
    name = f"bf_{len(model.backfills)}"
    opened(store, name, period=Period(start_at=start, end_at=end))
    told = store.beside(
        lambda c: stage(c, backfill=name, events=[made(number) for number in sorted(wanted)])
    )
    inside = {number for number in wanted if hours[0] <= hour_of(number) < hours[1]}
    kinds = {n: one.kind for n, one in zip(sorted(wanted), told, strict=True)}
    assert kinds == {n: "accepted" if n in inside else "rejected" for n in wanted}
    applied(store, len(inside), name=name, now_at=now_at)
    model.backfill(hours, stated=inside)


def _void(store: Store, model: Model, *, nth: int, now_at: int) -> None:
    """Void one of the events that count."""
    known = sorted(number for number, counts in model.counts.items() if counts)
    number = known[nth % len(known)]
    void = WantedCorrection(source="gw", id=f"e{number}", reason="r")
    with store.write() as connection:
        (made,) = correct_events(connection, owner=OWNER, wanted=[void], by="me", now_at=now_at)
    assert made.verdict == "accepted"
    model.counts[number] = False
    then = len(model.backfills)
    model.voided.append(Voided(number=number, then=then, correction=made.correction))


def _restore(store: Store, model: Model, *, void: Voided, now_at: int) -> None:
    if void.reverted or model.may_restore(void):
        revert(store, correction=void.correction, reason="r", by="me", now_at=now_at)
        if not void.reverted:
            model.counts[void.number] = void.reverted = True
    else:
        with pytest.raises(DocumentError, match="revert that first"):
            revert(store, correction=void.correction, reason="r", by="me", now_at=now_at)


def _revert(store: Store, model: Model, *, nth: int, now_at: int) -> None:
    name, reversal = f"bf_{nth}", f"rv_{nth}_{now_at}"
    if model.backfills[nth].reverted:
        reverted(store, name=name, reversal=reversal, now_at=now_at)
    elif model.may_revert(nth):
        reverted(store, name=name, reversal=reversal, now_at=now_at)
        model.revert(nth)
    else:
        with pytest.raises(DocumentError, match="was corrected since, by"):
            reverted(store, name=name, reversal=reversal, now_at=now_at)


def _compare(store: Store, model: Model) -> None:
    expected = {n: 2**n for n, counts in model.counts.items() if counts}
    assert counting(store) == {f"e{n}": count for n, count in expected.items()}
    # Powers of two: the sum tells which events are in it.
    assert tokens(store) == sum(expected.values())


def _compare_live(store: Store, model: Model) -> None:
    counts = [2**n for n, counts in model.counts.items() if counts]
    question = UsageQuestion(account="a", period=OCTOBER, step="period", labels=())
    page = usage_page(store, question=question, limit=10, cursor=None)
    live = {one.unit: one.count for one in page.rows if one.count}
    summed = {"requests": len(counts), "input_tokens": sum(counts)}
    assert live == {unit: count for unit, count in summed.items() if count}


@given(commands=COMMANDS)
def test_backfills_and_reversals_end_as_a_dict_would_have_it(
    commands: list[tuple[Any, ...]],
) -> None:
    with own_store() as (_, store):
        run(store, commands)


# As many examples as new databases take a few seconds.
@settings(max_examples=8)
@given(commands=COMMANDS)
def test_so_they_do_on_postgresql(server: Server, commands: list[tuple[Any, ...]]) -> None:
    with server.database(template="made") as url, open_store(url) as store:
        run(store, commands)
