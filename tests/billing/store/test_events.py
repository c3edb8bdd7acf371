"""A verdict for every event: accepted once, then duplicate or conflict, for ever (I11-I13)."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import func, select

from billing.store.epochs import seal
from billing.store.events import StoredEvent, Verdict, read_events
from billing.store.store import Store, StoreError
from billing.store.tables import EVENT_IDS, EVENTS
from pricing_rules.period import Period
from tests.billing.store.made_rows import event, ingest, kinds


def stored(store: Store, *, account: str = "acme") -> list[StoredEvent]:
    """All events of an account."""
    with store.read() as connection:
        return list(read_events(connection, account=account))


def counts(store: Store) -> tuple[int, int]:
    """How many identities and events there are."""
    with store.read() as connection:
        ids = connection.scalar(select(func.count()).select_from(EVENT_IDS))
        events = connection.scalar(select(func.count()).select_from(EVENTS))
        assert isinstance(ids, int)
        assert isinstance(events, int)
        return ids, events


def test_an_event_comes_back_as_it_was_stored(store: Store) -> None:
    row = event(
        "é €", units={"output_tokens": 3, "input_tokens": 10**12}, dimensions={"b": '"', "a": "\\"}
    )
    assert kinds(ingest(store, rows=[row])) == ["accepted"]
    assert stored(store) == [
        StoredEvent(
            seq=1,
            owner="provider",
            source="gw",
            id="é €",
            account="acme",
            occurred_at=100,
            timed_by="event",
            model="m",
            service_tier="standard",
            region="",
            request_tokens=10,
            outcome="completed",
            dimensions={"a": "\\", "b": '"'},
            units={"input_tokens": 10**12, "output_tokens": 3},
            epoch=1,
            received_at=1_000,
        )
    ]


def test_a_replay_is_a_duplicate_and_carries_the_first_result(store: Store) -> None:
    first = ingest(store, rows=[event()], received_at=1_000)
    again = ingest(store, rows=[event()], received_at=9_000_000_000)
    assert first == (Verdict(kind="accepted", first_digest="d1", first_received_at=1_000),)
    assert again == (Verdict(kind="duplicate", first_digest="d1", first_received_at=1_000),)
    assert counts(store) == (1, 1)


def test_the_same_content_at_another_time_is_a_duplicate(store: Store) -> None:
    # The digest says what the content is; a moment that is no part of it changes nothing.
    ingest(store, rows=[event(occurred_at=100)])
    assert kinds(ingest(store, rows=[event(occurred_at=99)])) == ["duplicate"]
    assert [e.occurred_at for e in stored(store)] == [100]


def test_another_content_is_a_conflict_and_changes_nothing(store: Store) -> None:
    ingest(store, rows=[event(digest="d1")])
    (verdict,) = ingest(store, rows=[event(digest="d0", units={"input_tokens": 99})])
    assert verdict == Verdict(kind="conflict", first_digest="d1", first_received_at=1_000)
    assert [dict(e.units) for e in stored(store)] == [{"input_tokens": 10}]


def test_the_account_is_a_part_of_the_content(store: Store) -> None:
    ingest(store, rows=[event(account="acme")])
    assert kinds(ingest(store, rows=[event(account="globex")])) == ["conflict"]
    assert stored(store, account="globex") == []


@pytest.mark.parametrize(
    "other",
    [
        event("e2"),
        event("E1"),
        event("e1", source="gw-2"),
        event("e1", source="GW"),
        event("\u00e9"),  # one code point ...
        event("e\u0301"),  # ... or two: not the same bytes
    ],
)
def test_identities_compare_byte_for_byte(store: Store, other: object) -> None:
    ingest(store, rows=[event("e1")])
    assert kinds(ingest(store, rows=[other])) == ["accepted"]  # type: ignore[list-item]


def test_an_id_of_another_owner_is_another_event(store: Store) -> None:
    assert kinds(ingest(store, rows=[event()], owner="provider")) == ["accepted"]
    assert kinds(ingest(store, rows=[event()], owner="acme")) == ["accepted"]
    assert counts(store) == (2, 2)


def test_duplicates_in_one_batch_count_once(store: Store) -> None:
    verdicts = ingest(store, rows=[event(), event("e2"), event(), event()])
    assert kinds(verdicts) == ["accepted", "accepted", "duplicate", "duplicate"]
    assert counts(store) == (2, 2)


def test_the_first_in_time_wins_wherever_it_stands_in_the_batch(store: Store) -> None:
    early = event(digest="d9", occurred_at=100)
    late = event(digest="d1", occurred_at=101)
    later_copy = event(digest="d9", occurred_at=102)
    said = {100: "accepted", 101: "conflict", 102: "duplicate"}
    for n, rows in enumerate(permutations([early, late, later_copy])):
        verdicts = ingest(store, rows=rows, owner=f"owner {n}")
        assert kinds(verdicts) == [said[row.occurred_at] for row in rows]
        assert {verdict.first_digest for verdict in verdicts} == {"d9"}
    assert {e.occurred_at for e in stored(store)} == {100}


def test_at_one_moment_the_lower_digest_wins_then_the_lower_account(store: Store) -> None:
    rows = [
        event(digest="d2", account="acme"),
        event(digest="d1", account="globex"),
        event(digest="d1", account="acme"),
    ]
    assert kinds(ingest(store, rows=rows)) == ["conflict", "conflict", "accepted"]


def test_what_is_stored_wins_over_an_earlier_event_that_comes_later(store: Store) -> None:
    ingest(store, rows=[event(digest="d5", occurred_at=100)])
    rows = [event(digest="d1", occurred_at=1), event(digest="d5", occurred_at=2)]
    assert kinds(ingest(store, rows=rows)) == ["conflict", "duplicate"]


def test_a_batch_of_nothing_stores_nothing(store: Store) -> None:
    assert ingest(store, rows=[]) == ()
    assert counts(store) == (0, 0)


def test_more_ids_than_one_statement_takes_are_looked_up(store: Store) -> None:
    rows = [event(f"e{n}", source=f"gw-{n % 2}") for n in range(24_000)]
    assert set(kinds(ingest(store, rows=rows))) == {"accepted"}
    assert set(kinds(ingest(store, rows=rows))) == {"duplicate"}
    assert counts(store) == (24_000, 24_000)


def test_a_number_beyond_64_bits_is_refused_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(StoreError, match="beyond 64 bits"):
        ingest(store, rows=[event("e1"), event("e2", occurred_at=2**63)])
    assert counts(store) == (0, 0)


def test_events_are_read_by_time_period_and_epoch(store: Store) -> None:
    ingest(store, rows=[event("e1", occurred_at=200), event("e2", occurred_at=100)])
    with store.write() as connection:
        seal(connection, sealed_at=1)
    ingest(store, rows=[event("e3", occurred_at=100), event("e4", account="globex")])

    def ids(*, period: Period | None, through_epoch: int | None) -> list[str]:
        with store.read() as connection:
            found = read_events(
                connection, account="acme", period=period, through_epoch=through_epoch
            )
            return [e.id for e in found]

    # By time, then as they were stored.
    assert ids(period=None, through_epoch=None) == ["e2", "e3", "e1"]
    assert ids(period=None, through_epoch=1) == ["e2", "e1"]
    # Half-open: 100 is in [100, 200), 200 is not.
    assert ids(period=Period(start_at=100, end_at=200), through_epoch=None) == ["e2", "e3"]
    assert ids(period=Period(start_at=101, end_at=201), through_epoch=None) == ["e1"]
