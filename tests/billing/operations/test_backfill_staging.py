"""What may be staged for a backfill, and what becomes of each event that comes to be staged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from billing.operations.applied_backfill import revert_backfill
from billing.operations.backfill import (
    drop_staged,
    open_backfill,
    stage,
)
from billing.operations.verify import verify
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, parse_moment, parse_period
from tests.billing.operations.made_backfill import (
    OCTOBER,
    applied,
    backfilled,
    changes,
    checked,
    counting,
    inputs,
    opened,
    staged,
    tokens,
)
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_store import deliver, row_counts


def test_the_range_starts_with_its_start_and_ends_before_its_end(
    store: Store, tmp_path: Path
) -> None:
    moments = [
        "2026-10-09T23:59:59.999999Z",
        "2026-10-10T00:00:00Z",
        "2026-10-10T23:59:59.999999Z",
        "2026-10-11T00:00:00Z",
    ]
    deliver(store, tmp_path, [inputs(n, time=at) for n, at in enumerate(moments)])
    day = parse_period("2026-10-10/2026-10-11", zone="UTC")
    assert changes(backfilled(store, [], period=day)) == (0, 0, 0, 2)
    assert set(counting(store)) == {"e0", "e3"}
    opened(store, "bf_2", period=day)
    later = [inputs(n + 10, time=at) for n, at in enumerate(moments)]
    kinds = [one.kind for one in staged(store, later, name="bf_2")]
    assert kinds == ["rejected", "accepted", "accepted", "rejected"]


def test_each_event_that_comes_to_be_staged_has_a_verdict(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2, 20)])
    opened(store)
    found = staged(
        store,
        [
            inputs(1),  # stored with this content: it will be kept
            inputs(2, 21),  # stored with another one
            inputs(3),
            inputs(3),  # the same once more
            inputs(4, account="b"),
            inputs(5, time="2026-09-30T23:59:59Z"),
        ],
    )
    kinds = ["accepted", "conflict", "accepted", "duplicate", "rejected", "rejected"]
    assert [one.kind for one in found] == kinds
    assert [one.pointer for one in found] == ["", "", "", "", "/subject", "/time"]
    assert found[1].reason == (
        "its id is taken by another content in the store; give it an id of its own"
    )
    assert found[4].reason == ('is not "a", whose usage this backfill states; send it elsewhere')
    assert found[5].reason == (
        "2026-09-30T23:59:59Z lies outside of this backfill, which is from "
        "2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z"
    )
    again = staged(store, [inputs(3), inputs(3, 31), inputs(1), inputs(2, 20)])
    assert [one.kind for one in again] == ["duplicate", "conflict", "duplicate", "accepted"]
    assert again[1].reason == "its id is staged with another content, which stands"


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_which_of_two_contents_is_staged_does_not_depend_on_their_places(
    store: Store, order: tuple[int, ...]
) -> None:
    opened(store)
    events = [
        inputs(1, 11, time="2026-10-03T00:00:00Z"),
        inputs(1, 12, time="2026-10-02T00:00:00Z"),  # the first by time stands
        inputs(1, 11, time="2026-10-03T00:00:00Z"),
    ]
    found = staged(store, [events[at] for at in order])
    kinds = {at: one.kind for at, one in zip(order, found, strict=True)}
    assert kinds == {0: "conflict", 1: "accepted", 2: "conflict"}


def test_of_two_contents_the_one_that_is_stored_is_staged(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1, 12, time="2026-10-05T00:00:00Z")])
    opened(store)
    earlier, stored = inputs(1, 11), inputs(1, 12, time="2026-10-05T00:00:00Z")
    kinds = [one.kind for one in staged(store, [earlier, stored, stored])]
    assert kinds == ["conflict", "accepted", "duplicate"]


def test_staging_changes_nothing_that_counts(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1)])
    before = row_counts(store)
    opened(store)
    staged(store, [inputs(2), inputs(3)])
    grown = {name: n - before[name] for name, n in row_counts(store).items() if n != before[name]}
    assert grown == {"backfills": 1, "backfill_events": 2, "audit": 1}
    assert (tokens(store), verify(store).holds) == (10, True)


def test_a_reason_is_given_and_the_range_lies_where_events_do(store: Store) -> None:
    early = Period(start_at=parse_moment("1999-12-31T23:59:59.999999Z"), end_at=OCTOBER.end_at)
    edge = Period(start_at=parse_moment("2000-01-01T00:00:00Z"), end_at=OCTOBER.end_at)
    with store.write() as connection:
        for reason, period, sentence in (
            (" ", OCTOBER, "reason: is empty; say it"),
            ("x" * 2_001, OCTOBER, "reason: string should have at most 2000 characters"),
            (
                "a\x1b[2J",
                OCTOBER,
                "reason: must not hold the control or invisible character U[+]001B",
            ),
            ("why", early, "lies before 2000-01-01T00:00:00Z"),
        ):
            with pytest.raises(DocumentError, match=sentence):
                open_backfill(
                    connection, backfill="b", account="a", period=period, reason=reason, by="me",
                    now_at=NOW_AT,
                )  # fmt: skip
        with pytest.raises(DocumentError, match="reason: is empty; say it"):
            revert_backfill(
                connection, backfill="b", reversal="r", reason=" ", by="me", now_at=NOW_AT
            )
    assert opened(store, period=edge).state == "open"


def test_what_is_dropped_may_be_staged_anew_with_other_content(store: Store) -> None:
    opened(store)
    staged(store, [inputs(1, 11)])
    with store.write() as connection:
        shown = drop_staged(connection, backfill="bf_1", by="dana", now_at=NOW_AT)
    assert (shown.state, shown.staged) == ("open", 0)
    assert [one.kind for one in staged(store, [inputs(1, 12)])] == ["accepted"]
    applied(store, 1)
    assert counting(store) == {"e1": 12}


def test_two_backfills_may_be_staged_beside_each_other(store: Store) -> None:
    for name in ("bf_1", "bf_2"):
        opened(store, name)
        staged(store, [inputs(1, 11)], name=name)
    applied(store, 1)
    assert changes(applied(store, 1, name="bf_2")) == (0, 1, 0, 0)


def test_events_without_a_moment_of_their_own_are_not_staged(store: Store) -> None:
    opened(store)
    (one,) = checked([inputs(1)])
    came_in = msgspec.structs.replace(one, timed_by="receipt")
    (found,) = store.beside(lambda c: stage(c, backfill="bf_1", events=[came_in]))
    assert (found.kind, found.pointer) == ("rejected", "/time")
    assert found.reason == "is missing; in a backfill each event says when it happened"
