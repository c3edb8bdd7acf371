"""Backfills in the store: what is staged, and what of a range it would change."""

from __future__ import annotations

from billing.store.backfill_changes import (
    RangeCounts,
    count_range,
    first_taken,
    read_numbered,
    read_range,
    sum_range,
    sum_staged,
)
from billing.store.backfills import (
    append_backfill,
    count_staged,
    event_seqs,
    read_backfill,
    read_backfills,
    read_new_staged,
    remove_staged,
    stage_events,
)
from billing.store.corrections import append_correction, append_steps
from billing.store.store import Connection, Store
from tests.billing.store.made_rows import backfill, correction, event, ingest, step

OWNER = "provider"


def opened(connection: Connection, *names: str) -> None:
    for name in names:
        append_backfill(connection, backfill=backfill(name))


def test_a_staged_event_is_read_back_as_it_came_in(store: Store) -> None:
    one = event("e1", units={"input_tokens": 5, "output_tokens": 7}, dimensions={"team": "é"})
    with store.write() as connection:
        opened(connection, "bf_1")
        stage_events(connection, backfill=backfill(), owner=OWNER, events=[one])
        read = read_new_staged(connection, backfill=backfill(), owner=OWNER, after=None, limit=9)
    assert read == (one,)


def test_what_is_staged_is_read_in_pages_of_ids_that_are_free(store: Store) -> None:
    ingest(store, rows=[event("e2"), event("e5", source="other")])
    events = [event(f"e{n}", source=source) for n in range(4) for source in ("gw", "other")]
    with store.write() as connection:
        opened(connection, "bf_1", "bf_2")
        stage_events(connection, backfill=backfill(), owner=OWNER, events=events)
        stage_events(connection, backfill=backfill("bf_2"), owner=OWNER, events=[event("e9")])
        pages = []
        after = None
        while page := read_new_staged(
            connection, backfill=backfill(), owner=OWNER, after=after, limit=3
        ):
            pages.append([(one.source, one.id) for one in page])
            after = pages[-1][-1]
    # e2 of gw is stored; e5 of other is not staged.
    keys = sorted((one.source, one.id) for one in events if (one.source, one.id) != ("gw", "e2"))
    assert pages == [keys[:3], keys[3:6], keys[6:]]


def test_what_is_dropped_is_that_of_one_backfill(store: Store) -> None:
    with store.write() as connection:
        opened(connection, "bf_1", "bf_2")
        for name in ("bf_1", "bf_2"):
            one = backfill(name)
            stage_events(connection, backfill=one, owner=OWNER, events=[event(), event("e2")])
        assert remove_staged(connection, backfill="bf_1") == 2
        assert count_staged(connection, backfill="bf_1") == 0
        assert count_staged(connection, backfill="bf_2") == 2


def test_the_ids_of_another_owner_are_others(store: Store) -> None:
    ingest(store, rows=[event("e1", digest="theirs")], owner="account:acme")
    with store.write() as connection:
        opened(connection, "bf_1")
        (told,) = stage_events(connection, backfill=backfill(), owner=OWNER, events=[event("e1")])
        assert told.kind == "accepted"
        assert first_taken(connection, backfill="bf_1") is None
        # The event of their identity is in the range, and is not the one that is staged.
        counts = count_range(connection, backfill=backfill())
    assert counts == RangeCounts(staged_counting=0, staged_void=0, unstaged_counting=1)


def test_what_is_in_the_range_is_counted_by_whether_it_is_staged_and_counts(store: Store) -> None:
    rows = [event(f"e{n}", occurred_at=at) for n, at in enumerate([0, 999, 500, 500, 1_000])]
    ingest(store, rows=[*rows, event("x", account="globex")])
    with store.write() as connection:
        opened(connection, "bf_1")
        append_correction(connection, correction=correction())
        append_steps(connection, steps=[step(2), step(3), step(4), step(4, number=2)])
        events = [rows[0], rows[1]]
        stage_events(connection, backfill=backfill(), owner=OWNER, events=events)
        counts = count_range(connection, backfill=backfill())
        # e0 is staged and counts, e1 is staged and void, e2 neither, e3 was restored; e4 is at the
        # end of the range, so outside.
        assert counts == RangeCounts(staged_counting=1, staged_void=1, unstaged_counting=1)
        read = {
            which: [
                (one.id, last)
                for one, last in read_range(
                    connection, backfill=backfill(), which=which, after=(0, 0), limit=9
                )
            ]
            for which in ("staged void", "unstaged counting")
        }
        assert read == {"staged void": [("e1", 1)], "unstaged counting": [("e3", 2)]}
        assert sum_range(connection, backfill=backfill()) == {"input_tokens": 20}
        assert sum_staged(connection, backfill=backfill()) == {"input_tokens": 20}


def test_the_range_is_read_in_pages_under_ties(store: Store) -> None:
    ingest(store, rows=[event(f"e{n}", occurred_at=100 * (n // 3)) for n in range(7)])
    with store.write() as connection:
        opened(connection, "bf_1")
        found = []
        after = 0, 0
        while page := read_range(
            connection, backfill=backfill(), which="unstaged counting", after=after, limit=2
        ):
            found += [one.id for one, _ in page]
            after = page[-1][0].occurred_at, page[-1][0].seq
    assert found == [f"e{n}" for n in range(7)]


def test_events_are_read_by_their_numbers(store: Store) -> None:
    ingest(store, rows=[event(f"e{n}") for n in range(4)])
    with store.write() as connection:
        seqs = event_seqs(connection, owner=OWNER, keys=[("gw", "e1"), ("gw", "e3"), ("gw", "no")])
        first, last = sorted(seqs)
        read = read_numbered(connection, after_seq=first - 1, last_seq=last, limit=9)
        assert [one.id for one, _ in read] == ["e1", "e2", "e3"]
        one_more = read_numbered(connection, after_seq=first, last_seq=last, limit=1)
    assert [one.id for one, _ in one_more] == ["e2"]


def test_an_id_that_was_taken_is_named_in_order(store: Store) -> None:
    with store.write() as connection:
        opened(connection, "bf_1")
        events = [event(name) for name in ("e3", "e1", "e2")]
        stage_events(connection, backfill=backfill(), owner=OWNER, events=events)
    ingest(store, rows=[event("e3", digest="d3"), event("e2", digest="d2"), event("e1")])
    with store.read() as connection:
        assert first_taken(connection, backfill="bf_1") == ("gw", "e2")


def test_backfills_are_read_by_name_and_in_pages(store: Store) -> None:
    with store.write() as connection:
        for name, account, at in (("b", "x", 2), ("a", "y", 2), ("c", "x", 1)):
            one = backfill(name, account=account, opened_at=at)
            append_backfill(connection, backfill=one)
        assert read_backfill(connection, backfill="a") == backfill("a", account="y", opened_at=2)
        assert read_backfill(connection, backfill="none") is None
        # In the order in which they were opened, whatever their names and the clocks said.
        asked: list[tuple[str | None, str | None, int, str]] = [
            (None, None, 9, "bac"),
            (None, None, 2, "ba"),
            (None, "a", 9, "c"),
            (None, "c", 9, ""),
            ("x", None, 9, "bc"),
            ("x", "b", 9, "c"),
            ("z", None, 9, ""),
        ]
        for whose, after, limit, names in asked:
            found = read_backfills(connection, account=whose, after=after, limit=limit)
            assert "".join(one.backfill for one in found) == names


def test_more_ids_than_one_statement_takes_are_staged(store: Store) -> None:
    events = [event(f"e{n:05}") for n in range(10_001)]
    with store.write() as connection:
        opened(connection, "bf_1")
        for kind in ("accepted", "duplicate"):
            told = stage_events(connection, backfill=backfill(), owner=OWNER, events=events)
            assert {one.kind for one in told} == {kind}
        assert count_staged(connection, backfill="bf_1") == 10_001
