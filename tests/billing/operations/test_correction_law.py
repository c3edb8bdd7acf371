"""Whatever is accepted, voided, amended, reverted and sealed: the totals are the events that count.

The model is a dict of events, a set of those that count, and what each step added to its epoch.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.operations.grid import AccountCuts, newest_versions, rebuild, sum_account
from billing.operations.live_usage import UsageQuestion, usage_page
from billing.operations.verify import verify
from billing.store.events import NewEvent
from billing.store.grid import account_grid, append_grid, current_grid
from billing.store.store import Store, open_store
from billing.store.usage_totals import read_all_totals
from pricing_rules.document import DocumentError
from pricing_rules.period import MICROSECONDS, Period
from pricing_rules.usage.totals import Grid
from pricing_rules.usage.units import REQUESTS
from tests.billing.operations.made_corrections import (
    NOON_AT,
    NOW_AT,
    amend,
    correct,
    counted,
    sealed,
    take_back,
    take_in,
    usage,
    void,
)
from tests.billing.operations.made_ingest import own_store
from tests.billing.store.postgresql_server import Server

ACCOUNTS = ("a", "b")
IDS = st.sampled_from(["e1", "e2", "e3"])
NEW_EVENTS = st.builds(
    usage,
    st.sampled_from(["e1", "e2", "e3", "n1", "n2"]),
    st.integers(0, 5),
    account=st.sampled_from(ACCOUNTS),
    occurred_at=st.integers(0, 3).map(lambda hours: NOON_AT + hours * 3_600 * MICROSECONDS),
    model=st.sampled_from(["m", "n"]),
)
STEPS = st.one_of(
    st.tuples(st.just("accept"), NEW_EVENTS),
    st.tuples(st.just("void"), IDS | st.sampled_from(["n1", "n2"])),
    st.tuples(st.just("amend"), IDS, NEW_EVENTS),
    st.tuples(st.just("revert"), st.integers(0, 5)),
    st.tuples(st.just("seal")),
    st.tuples(st.just("cut"), st.integers(0, 3)),
    st.tuples(st.just("rebuild")),
)


class Model:
    """What must be the case, worked out one event at a time."""

    def __init__(self) -> None:
        self.epoch = 1
        self.events: dict[str, NewEvent] = {}
        self.counting: set[str] = set()
        self.voided_by: dict[str, int] = {}
        self.corrections: list[tuple[str, str | None, str, bool]] = []
        """Each with the event it voided, the one it added, its name and whether it stands."""
        self.added: Counter[tuple[str, int, str]] = Counter()

    def count(self, name: str, sign: int) -> None:
        event = self.events[name]
        for unit, number in ((REQUESTS, 1), *event.units.items()):
            self.added[event.account, self.epoch, unit] += sign * number
        (self.counting.add if sign > 0 else self.counting.discard)(name)

    def verdict(self, name: str, event: NewEvent | None) -> str:
        if name not in self.events:
            return "rejected"
        if name not in self.counting:
            _, by, _, _ = self.corrections[self.voided_by[name]]
            same = by is not None and event is not None and self.events.get(by) == event
            return "duplicate" if same or (by is None and event is None) else "conflict"
        if event is not None and event.id == name:
            return "rejected"
        if event is not None and event.account != self.events[name].account:
            return "rejected"
        return "conflict" if event is not None and event.id in self.events else "accepted"

    def correct(self, name: str, event: NewEvent | None, correction: str) -> None:
        self.count(name, -1)
        self.voided_by[name] = len(self.corrections)
        self.corrections.append((name, event.id if event else None, correction, True))
        if event is not None:
            self.events[event.id] = event
            self.count(event.id, 1)

    def may_revert(self, number: int) -> bool:
        """Whether what the correction did to its events is still what they are."""
        name, added, _, _ = self.corrections[number]
        voided = name not in self.counting and self.voided_by[name] == number
        return voided and (added is None or added in self.counting)

    def revert(self, number: int) -> None:
        name, added, correction, _ = self.corrections[number]
        self.corrections[number] = (name, added, correction, False)
        self.count(name, 1)
        if added is not None:
            self.count(added, -1)
            self.voided_by[added] = number


def play(store: Store, model: Model, step: tuple[Any, ...]) -> None:
    """One step on the store and on the model, which must say the same."""
    kind, *given_ = step
    if kind == "accept":
        (event,) = given_
        if event.id not in model.events:
            take_in(store, event)
            model.events[event.id] = event
            model.count(event.id, 1)
    elif kind in ("void", "amend"):
        name, event = (*given_, None)[:2]
        said = model.verdict(name, event)
        (made,) = correct(store, void(name) if event is None else amend(name, event))
        assert made.verdict == said, made
        if said == "accepted":
            model.correct(name, event, made.correction)
    elif kind == "revert" and given_[0] < len(model.corrections):
        _, _, correction, stands = model.corrections[given_[0]]
        if not stands:
            assert not take_back(store, correction).new
        elif model.may_revert(given_[0]):
            assert take_back(store, correction).new
            model.revert(given_[0])
        else:
            with pytest.raises(DocumentError, match="was corrected since"):
                take_back(store, correction)
    elif kind == "seal":
        sealed(store)
        model.epoch += 1
    elif kind == "cut":
        with store.write() as connection:
            instants = {*current_grid(connection).grid.instants_at, NOON_AT + given_[0]}
            grid = Grid(instants_at=tuple(sorted(instants)))
            append_grid(connection, grid=grid, reason="law", registered_at=NOW_AT)
    elif kind == "rebuild":
        rebuild(store, accounts=None, by="dana", now_at=NOW_AT)


def check(store: Store, model: Model) -> None:
    """Totals = events recomputed = live usage = the model, and no cell is below zero."""
    for account in ACCOUNTS:
        expected = {
            (epoch, unit): number
            for (of, epoch, unit), number in model.added.items()
            if of == account and number
        }
        assert counted(store, account=account) == expected
        with store.read() as connection:
            stored = read_all_totals(connection, account=account)
            versions = account_grid(connection, account=account) or newest_versions(
                connection, account=account
            )
            _, summed = sum_account(connection, versions=versions, cuts=AccountCuts())
        assert stored == summed
        for through in range(1, model.epoch + 1):
            cells: Counter[object] = Counter()
            for total in stored:
                if total.cell.epoch <= through:
                    key = (total.cell.segment_start_at, total.cell.model)
                    cells.update({(*key, unit): n for unit, n in total.leaves.items()})
                    cells.update({(*key, REQUESTS): total.events})
            assert min(cells.values(), default=0) >= 0
        live: Counter[str] = Counter()
        for name in model.counting:
            event = model.events[name]
            if event.account == account:
                live.update({REQUESTS: 1, **event.units})
        assert live_usage(store, account=account) == dict(live)
    assert verify(store).holds


def live_usage(store: Store, *, account: str) -> dict[str, int]:
    period = Period(start_at=NOON_AT, end_at=NOON_AT + 86_400 * MICROSECONDS)
    question = UsageQuestion(account=account, period=period, step="period", labels=())
    page = usage_page(store, question=question, limit=100, cursor=None)
    return {one.unit: one.count for one in page.rows}


def play_all(store: Store, steps: list[tuple[Any, ...]]) -> None:
    model = Model()
    for number, account in enumerate(("a", "a", "b"), start=1):
        play(store, model, ("accept", usage(f"e{number}", 5 + number, account=account)))
    for step in steps:
        play(store, model, step)
    check(store, model)


@settings(max_examples=30)
@given(steps=st.lists(STEPS, max_size=14))
def test_totals_are_the_events_that_count(steps: list[tuple[Any, ...]]) -> None:
    with own_store() as (_, store):
        play_all(store, steps)


# As many examples as new databases take a second or two.
@settings(max_examples=6)
@given(steps=st.lists(STEPS, max_size=14))
def test_totals_are_the_events_that_count_on_postgresql(
    server: Server, steps: list[tuple[Any, ...]]
) -> None:
    with server.database(template="made") as url, open_store(url) as store:
        play_all(store, steps)
