"""Pages while others store events beside them on PostgreSQL, where numbers do not come in the order
of commits: all pages are of one moment (I47).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from billing.operations.live_usage import UsageQuestion, usage_page
from billing.operations.stored_events import event_page
from billing.store import numbering
from billing.store.numbering import last_numbers, settled_numbers
from billing.store.points import hooked
from billing.store.statements import run
from billing.store.store import Store, StoreBusyError
from pricing_rules.period import Period, parse_moment
from tests.billing.operations.made_store import deliver
from tests.journeys.made_files import event

QUESTION = UsageQuestion(
    account="a",
    period=Period(
        start_at=parse_moment("2026-10-01T00:00:00Z"), end_at=parse_moment("2026-11-01T00:00:00Z")
    ),
    step="period",
    labels=(),
)
WAIT_S = 60.0


def read_events(
    store: Store, cursor: str | None, *, limit: int = 1
) -> tuple[list[str], str | None]:
    page = event_page(store, account="a", period=None, limit=limit, cursor=cursor)
    return [one.event.id for one in page.rows], page.cursor


def read_usage(store: Store, cursor: str | None, *, limit: int = 1) -> tuple[list[str], str | None]:
    page = usage_page(store, question=QUESTION, limit=limit, cursor=cursor)
    return [f"{one.unit} {one.count}" for one in page.rows], page.cursor


def all_pages(read: Callable[..., tuple[list[str], str | None]], store: Store) -> list[str]:
    """The rows of all pages, of one row each."""
    found, cursor = read(store, None)
    while cursor is not None:
        rows, cursor = read(store, cursor)
        found += rows
    return found


def stored(store: Store, folder: Path, number: int) -> None:
    """Store event ``e<number>`` of 10 tokens, from a file of its own."""
    own = folder / str(number)
    own.mkdir()
    deliver(store, own, [event(number, {"input_tokens": 10})])


@contextmanager
def uncommitted(store: Store, folder: Path, number: int) -> Iterator[Callable[[], None]]:
    """Another stores an event and does not commit, until what this gives is called."""
    begun, released = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "events.appended" and threading.current_thread() is slow:
            begun.set()
            assert released.wait(WAIT_S)

    slow = threading.Thread(target=stored, args=(store, folder, number))
    with hooked(hold):
        slow.start()
        assert begun.wait(WAIT_S)
        try:
            yield released.set
        finally:
            released.set()
            slow.join()


@pytest.fixture
def three(store: Store, database: str, tmp_path: Path) -> Store:
    """A store with the events e1 to e3."""
    for number in (1, 2, 3):
        stored(store, tmp_path, number)
    return store


@pytest.mark.parametrize(
    "read, rows",
    [
        (read_events, ["e1", "e2", "e3", "e4", "e5"]),
        (read_usage, ["input_tokens 50", "requests 5"]),
    ],
    ids=["events", "usage"],
)
def test_a_first_page_of_several_waits_for_what_is_being_stored_before_its_last_event(
    three: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[..., tuple[list[str], str | None]],
    rows: list[str],
) -> None:
    waits = threading.Event()
    pause = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: waits.set())
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.extend(all_pages(read, three)))
    with uncommitted(three, tmp_path, 4) as commit:  # it has the fourth number
        stored(three, tmp_path, 5)  # and this one the fifth, which is there before it
        monkeypatch.setattr(numbering, "time", pause)
        reader.start()
        assert waits.wait(WAIT_S)
        commit()
        reader.join()
    assert found == rows


def test_what_begins_after_the_first_page_is_on_none(three: Store, tmp_path: Path) -> None:
    first, cursor = read_events(three, None)
    stored(three, tmp_path, 4)
    second, last = read_events(three, cursor, limit=10)
    assert (first + second, last) == (["e1", "e2", "e3"], None)


def test_an_only_page_waits_for_nobody(three: Store, tmp_path: Path) -> None:
    with uncommitted(three, tmp_path, 4):
        assert read_events(three, None, limit=3) == (["e1", "e2", "e3"], None)
        assert read_usage(three, None, limit=2) == (["input_tokens 30", "requests 3"], None)


def test_who_stores_for_too_long_is_not_waited_for(
    three: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "BUSY_TIMEOUT_S", 0.0)
    with (
        uncommitted(three, tmp_path, 4),
        pytest.raises(StoreBusyError, match="others have been storing events for long; try again"),
    ):
        read_events(three, None)
    assert all_pages(read_events, three) == ["e1", "e2", "e3", "e4"]


def test_the_last_numbers_are_those_of_what_is_stored(store: Store, tmp_path: Path) -> None:
    with store.read() as connection:
        assert last_numbers(connection) == (0, 0)
    stored(store, tmp_path, 1)
    assert settled_numbers(store).event >= 1
    assert settled_numbers(store).step == 0


def test_a_backup_that_only_reads_the_sequence_is_not_waited_for(
    three: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "BUSY_TIMEOUT_S", 0.0)
    with three.read() as backup:
        run(backup, statement="SELECT last_value FROM events_seq_seq")
        assert all_pages(read_events, three) == ["e1", "e2", "e3"]


def test_a_transaction_that_is_prepared_is_waited_for(
    three: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "BUSY_TIMEOUT_S", 0.0)
    with psycopg.connect(database, autocommit=True) as other:  # no process holds it any more
        other.execute("BEGIN")
        other.execute("SELECT nextval('events_seq_seq')")
        other.execute("PREPARE TRANSACTION 'later'")
        try:
            with pytest.raises(StoreBusyError, match="others have been storing events for long"):
                read_events(three, None)
        finally:
            other.execute("COMMIT PREPARED 'later'")
    assert all_pages(read_events, three) == ["e1", "e2", "e3"]
