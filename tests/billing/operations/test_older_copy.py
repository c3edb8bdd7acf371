"""A store that was replaced by an older copy of itself is found out, and with it each number that
would be used twice.

The copies are real: of the file, and of the database. Invariant: a copy alone adds up; only what
was known before says that something is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.domain.verification.marks import Mark
from billing.operations.verify import VerifyReport, verify
from billing.store.store import Store, open_store
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    closed,
    deliver,
    deliver_ladder,
    deliver_late,
    invoices,
)
from tests.billing.store.postgresql_server import Server
from tests.journeys.made_files import event

M = 1_000_000
HOUR = 3_600 * M
JANUARY_AT = IN_DECEMBER_AT + 31 * 24 * HOUR


@contextmanager
def copied(place: str | Path, *, request: pytest.FixtureRequest) -> Iterator[str | Path]:
    """A copy of a store that nobody has open, as it is now."""
    if isinstance(place, Path):
        copy = place.with_name("copy.db")
        shutil.copyfile(place, copy)
        yield copy
    else:
        server = request.getfixturevalue("server")
        assert isinstance(server, Server)
        name = place.rpartition("?")[0].rpartition("/")[2]
        with server.database(template=name) as url:
            yield url


@pytest.fixture
def older(
    store_place: str | Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str | Path]:
    """The store after October was closed; the store itself goes on to November."""
    with open_store(store_place) as store:
        deliver_ladder(store, tmp_path)
        closed(store)
    with copied(store_place, request=request) as copy:
        with open_store(store_place) as store:
            deliver_late(store, tmp_path)
            closed(store, "2026-11", now_at=IN_DECEMBER_AT)
        yield copy


def verified(place: str | Path, *, earlier: tuple[Mark, ...] = ()) -> VerifyReport:
    with open_store(place) as store:
        return verify(store, earlier=earlier)


def damages(report: VerifyReport) -> dict[str, str]:
    assert {one.kind for one in report.verified.damage} <= {"went_back"}
    return {one.where: one.sentence.partition(";")[0] for one in report.verified.damage}


def billed_otherwise(store: Store, folder: Path) -> None:
    """On the older copy: another late event, and November closed with it."""
    other = event(4, {"input_tokens": 4 * M}, time="2026-10-03T00:00:00Z")
    deliver(store, folder, [other], now_at=IN_NOVEMBER_AT + 30 * HOUR)
    closed(store, "2026-11", now_at=IN_DECEMBER_AT + HOUR)


def test_the_marks_say_how_far_the_store_has_come(
    store_place: str | Path, older: str | Path
) -> None:
    marks = {one.name: one.number for one in verified(store_place).marks}
    # Two books, an agreement, two files, two seals and two invoices.
    assert marks == {"audit": 9, "epochs": 2, "events": 3, "numbers of INV, Example Tokens": 2}


def test_an_older_copy_adds_up_and_is_found_by_what_was_known_before(
    store_place: str | Path, older: str | Path
) -> None:
    assert verified(older).holds
    report = verified(older, earlier=verified(store_place).marks)
    since = "since the earlier report, as in an older copy"
    assert damages(report) == {
        "audit": f"went back from 9 to 6 {since}",
        "epochs": f"went back from 2 to 1 {since}",
        "events": f"went back from 3 to 2 {since}",
        "numbers of INV, Example Tokens": f"went back from 2 to 1 {since}",
    }


def test_the_same_store_and_a_later_one_pass(
    store_place: str | Path, older: str | Path, tmp_path: Path
) -> None:
    before = verified(older).marks
    assert verified(older, earlier=before).holds
    assert verified(store_place, earlier=before).holds
    now = verified(store_place).marks
    with open_store(store_place) as store:
        deliver(store, tmp_path, [event(9, {"input_tokens": M})], now_at=JANUARY_AT)
    assert verified(store_place, earlier=now).holds


def test_a_number_that_was_used_twice_is_named_also_where_the_copy_went_further(
    store_place: str | Path, older: str | Path, tmp_path: Path
) -> None:
    known = verified(store_place).marks
    with open_store(older) as store:
        billed_otherwise(store, tmp_path)
        deliver(store, tmp_path, [event(5, {"input_tokens": M})], now_at=IN_DECEMBER_AT + HOUR)
        closed(store, "2026-12", now_at=JANUARY_AT)
        numbers = [one.number for one in invoices(store)]
    assert numbers == ["INV-2026-000001", "INV-2026-000002", "INV-2027-000003"]
    # Nothing is lower than it was, and the copy adds up.
    assert verified(older).holds
    told = damages(verified(older, earlier=known))
    assert list(told) == ["audit", "epochs", "events", "numbers of INV, Example Tokens"]
    assert {one.partition(" is ")[0] for one in told.values()} == {
        "number 9",
        "number 2",
        "number 3",
    }


def test_what_was_done_again_as_it_was_is_the_same_store(
    store_place: str | Path, older: str | Path, tmp_path: Path
) -> None:
    known = verified(store_place).marks
    with open_store(older) as store:
        deliver_late(store, tmp_path)
        closed(store, "2026-11", now_at=IN_DECEMBER_AT)
    assert verified(older, earlier=known).holds


def test_an_event_alone_that_was_lost_is_found(
    store_place: str | Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with open_store(store_place) as store:
        deliver_ladder(store, tmp_path)
    with copied(store_place, request=request) as copy:
        with open_store(store_place) as store:
            deliver(store, tmp_path, [event(3, {"input_tokens": 1})], now_at=IN_NOVEMBER_AT)
            known = verify(store).marks
        assert damages(verified(copy, earlier=known))["events"].startswith("went back from 3 to 2")


def test_an_empty_store_is_behind_every_other_and_no_store_behind_it(
    store_place: str | Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with copied(store_place, request=request) as empty:
        none = verified(empty).marks
        assert none == ()
        with open_store(store_place) as store:
            deliver_ladder(store, tmp_path)
            assert verify(store, earlier=none).holds
            known = verify(store).marks
        told = damages(verified(empty, earlier=known))
    assert told == {
        "audit": "went back from 4 to 0 since the earlier report, as in an older copy",
        "events": "went back from 2 to 0 since the earlier report, as in an older copy",
    }
