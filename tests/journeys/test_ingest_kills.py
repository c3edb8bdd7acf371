"""An ingest that is killed at any point leaves whole batches, and a second run ends as if nothing
had happened (faults 1-7 and 42).

Invariant: every point that an ingest reaches is tried: on SQLite at its first and at its last
occurrence, on PostgreSQL, where a new store takes longer, at its last.
"""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from billing.operations.grid import register_cuts
from billing.operations.ingest import IngestReport, ingest
from billing.store.points import hooked
from billing.store.store import Store, open_store
from pricing_rules.prices.price_book import load_price_book
from tests.billing.operations.made_ingest import NOW_AT, facts, made_store
from tests.billing.store.postgresql_server import Server
from tests.journeys.kill_ingest import BATCH_ROWS
from tests.journeys.made_files import book, card, event, rate_of, write_events, write_json

REPOSITORY = Path(__file__).resolve().parents[2]
BATCHES = 3

Facts = Mapping[str, list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """An ingest that nobody stops: its report, and the store before and after each batch."""

    folder: Path
    copies: Callable[[str], str]
    report: IngestReport
    after: tuple[Facts, ...]
    reached: Mapping[str, int]
    tried: tuple[tuple[str, int], ...]


def usage_file(folder: Path) -> None:
    """Ten rows, of which two are duplicates, two conflicts, and two no events."""
    events = [
        event(1, {"input_tokens": 10}),
        event(2, {"input_tokens": 20}, account="b"),
        event(1, {"input_tokens": 10}),
        event(3, {"input_tokens": 30}, time="2027-01-01T00:00:00Z"),  # to come
        event(4, {"input_tokens": 40}, account="c"),
        event(2, {"input_tokens": 21}, account="b"),
        event(5, {"input_tokens": 50}, time="2026-10-15T00:00:00Z"),
        event(6, {"input_tokens": -1}),
        event(4, {"input_tokens": 40}, account="c"),
        event(4, {"input_tokens": 41}, account="c"),
        event(7, {"input_tokens": 70}),
    ]
    write_events(folder, events, form="jsonl")


def run_ingest(folder: Path, store: Store) -> IngestReport:
    return ingest(
        folder / "usage.jsonl", store=store, now_at=NOW_AT, by="me", batch_rows=BATCH_ROWS
    )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Callable[[str], str]]]:
    """A folder, and what makes a copy of the store ``base``, under a name, as it is by then."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "made.db").write_bytes(made_store())

    def copied_file(name: str) -> str:
        source = "made" if name == "base" else "base"
        shutil.copyfile(folder / f"{source}.db", folder / f"{name}.db")
        return str(folder / f"{name}.db")

    if request.param == "sqlite":
        yield folder, copied_file
        return
    server: Server = request.getfixturevalue("server")
    names: list[str] = []

    def copied_database(name: str) -> str:
        source = "made" if name == "base" else "kill_base"
        names.append("kill_" + re.sub("[^a-z0-9]", "_", name))
        server.run(f"CREATE DATABASE {names[-1]} TEMPLATE {source}")
        return server.url(names[-1])

    yield folder, copied_database
    for name in names:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def undisturbed(stores: tuple[Path, Callable[[str], str]]) -> Undisturbed:
    folder, copies = stores
    usage_file(folder)
    base = copies("base")
    rates = card(rate_of("input_tokens", "2"))
    later = write_json(folder / "book.json", book(rates, effective_from="2026-10-15T00:00:00Z"))
    made = load_price_book(later.read_bytes(), name="book.json")
    with open_store(base) as store, store.write() as connection:
        register_cuts(connection, books=(made,), reason="a book", now_at=NOW_AT)
    whole = copies("whole")
    after = [facts(whole)]
    reached: list[str] = []

    def note(name: str) -> None:
        reached.append(name)
        if name == "ingest.batch_done":
            after.append(facts(whole))

    with open_store(whole) as store, hooked(note):
        report = run_ingest(folder, store)
    times = Counter(reached)
    only_last = store.engine.dialect.name == "postgresql"
    tried = {
        (name, at) for name, last in times.items() for at in ((last,) if only_last else (1, last))
    }
    return Undisturbed(
        folder=folder,
        copies=copies,
        report=report,
        after=tuple(after),
        reached=times,
        tried=tuple(sorted(tried)),
    )


@pytest.fixture(scope="module")
def killed(undisturbed: Undisturbed) -> dict[tuple[str, int], tuple[str, Facts]]:
    """The store in which a process was killed at a point, and what it left there."""
    tried = undisturbed.tried
    stores = [undisturbed.copies(f"{name}-{at}") for name, at in tried]
    lines = [f"{name} {at} {store}" for (name, at), store in zip(tried, stores, strict=True)]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.journeys.kill_ingest", undisturbed.folder, str(NOW_AT)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    ended = [line.split() for line in ran.stdout.splitlines()]
    assert ended == [[name, str(at), str(int(signal.SIGKILL))] for name, at in tried]
    return {key: (store, facts(store)) for key, store in zip(tried, stores, strict=True)}


def test_the_undisturbed_run_counts_every_row(undisturbed: Undisturbed) -> None:
    report = undisturbed.report
    # Accepted: 1, 2, 4, 5, 7. Duplicate: 1, 4. Conflict: 2, 4. Rejected: 3 (to come), 6.
    counted = (report.accepted, report.duplicate, report.conflict, report.rejected)
    assert (report.received, counted, report.batches) == (11, (5, 2, 2, 2), BATCHES)
    assert len(undisturbed.after) == BATCHES + 1
    own = [name for name in undisturbed.reached if name.startswith("ingest.")]
    assert sorted(own) == [
        "ingest.batch_done", "ingest.batch_read", "ingest.done", "ingest.epoch_read",
        "ingest.started",
    ]  # fmt: skip
    assert len(undisturbed.reached) >= 14


def test_a_killed_ingest_leaves_whole_batches_and_goes_on(
    undisturbed: Undisturbed, killed: dict[tuple[str, int], tuple[str, Facts]]
) -> None:
    for (name, at), (place, left) in killed.items():
        stored = len(left["deliveries"])
        assert left == undisturbed.after[stored], (name, at)
        _counters_balance(left)
        with open_store(place) as store:
            again = run_ingest(undisturbed.folder, store)
        assert facts(place) == undisturbed.after[BATCHES], (name, at)
        assert again == replace(undisturbed.report, delivered_before=stored), (name, at)
        if "://" not in place:
            with closing(sqlite3.connect(place)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_batch_is_there_exactly_when_its_transaction_was_committed(
    undisturbed: Undisturbed, killed: dict[tuple[str, int], tuple[str, Facts]]
) -> None:
    last = {name: undisturbed.reached[name] for name, _ in killed}
    stored = {key: len(left["deliveries"]) for key, (_, left) in killed.items()}
    if ("write.committed", 1) in killed:
        assert stored["write.uncommitted", 1] == 0
        assert stored["write.committed", 1] == stored["ingest.batch_done", 1] == 1
    assert stored["write.uncommitted", last["write.uncommitted"]] == BATCHES - 1
    assert stored["write.committed", last["write.committed"]] == BATCHES
    assert stored["ingest.done", 1] == BATCHES


def _counters_balance(left: Facts) -> None:
    received, accepted, duplicate, conflict, rejected = (
        sum(int(str(row[i])) for row in left["deliveries"]) for i in range(3, 8)
    )
    assert received == accepted + duplicate + conflict + rejected
    assert accepted == len(left["events"]) == len(left["event_ids"])
    assert conflict + rejected == len(left["refusals"])
    events = sum(int(str(row[-2])) for row in left["usage_totals"])
    assert events == accepted
