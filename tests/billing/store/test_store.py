"""Opening a store, its transactions, and what it says when the machine cannot."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from billing.store import postgresql, sqlite
from billing.store.faults import store_faults
from billing.store.store import (
    Connection,
    Store,
    StoreBusyError,
    StoreError,
    StoreStoppedError,
    open_store,
)
from billing.store.tables import EPOCHS, INVOICES, REVISION
from billing.store.whole import count_all_events
from pricing_rules.document import DocumentError
from tests.billing.store.made_rows import event, ingest
from tests.house.tree import REPOSITORY


def epochs(connection: Connection) -> int:
    """How many epochs are sealed, as a transaction sees it."""
    return connection.scalar(select(func.count()).select_from(EPOCHS)) or 0


def seal(connection: Connection, *, epoch: int) -> None:
    """Something small that is written."""
    connection.execute(EPOCHS.insert().values(epoch=epoch, sealed_at=1))


def test_a_path_and_a_url_name_the_same_store(store_path: Path) -> None:
    for name in (store_path, str(store_path), f"sqlite:///{store_path}"):
        with open_store(name) as store, store.read() as connection:
            assert epochs(connection) == 0


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("mysql://host/billing", '"mysql" is not a kind of store'),
        ("postgresql+asyncpg://host/billing", "is not a kind of store"),
        ("postgresql://host", "must name a database"),
        ("postgresql://me:secret@host:port/billing", r'"postgresql://..." is not a URL'),
        ("sqlite+aiosqlite:///store.db", "is not a kind of store"),
        ("foo://", '"foo" is not a kind of store'),
        ("://", "is not a URL such as"),
        ("sqlite://", "must be a plain file"),
        ("sqlite:///:memory:", "must be a plain file"),
        ("sqlite:///store.db?mode=ro", "must be a plain file"),
        (":memory:", "must be a file"),
        ("", "must be a file"),
    ],
)
def test_what_is_no_sqlite_file_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        open_store(name)


def test_a_store_that_is_absent_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store; run tokenworks db upgrade --store"):
        open_store(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_another_file_is_no_store(tmp_path: Path) -> None:
    text = tmp_path / "usage.jsonl"
    text.write_text("{}\n" * 400, encoding="utf-8")
    with pytest.raises(StoreError, match="is not a SQLite database"):
        open_store(text)
    with pytest.raises(StoreError, match="is a folder"):
        open_store(tmp_path)
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreError, match="holds no tables of a store; run tokenworks db upgrade"):
        open_store(empty)


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_a_store_at_another_revision_is_refused(store_path: Path, revision: str) -> None:
    with sqlite3.connect(store_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    connection.close()
    sentence = f"is at revision {revision}, not at {REVISION}; run tokenworks db upgrade --store"
    with pytest.raises(StoreError, match=sentence):
        open_store(store_path)


def test_a_store_that_is_upgraded_while_it_is_open_is_refused_from_then_on(
    store: Store, store_path: Path
) -> None:
    with sqlite3.connect(store_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9998'")
    connection.close()
    with pytest.raises(StoreError, match="is at revision 9998"), store.write():
        pass


def test_a_read_only_file_or_folder_is_refused(store_path: Path) -> None:
    for path, mode in ((store_path, 0o444), (store_path.parent, 0o555)):
        before = path.stat().st_mode
        path.chmod(mode)
        try:
            with pytest.raises(StoreError, match="is read-only; a store must be writable"):
                open_store(store_path)
        finally:
            path.chmod(before)


def test_every_connection_is_durable_and_strict(store: Store, store_path: Path) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "recursive_triggers": 1,
        "busy_timeout": 10_000,
    }
    for transaction in (store.read, store.write):
        with transaction() as connection:
            for pragma, value in wanted.items():
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value, pragma


def test_what_raises_inside_a_transaction_writes_nothing(store: Store) -> None:
    def fail(connection: Connection) -> None:
        seal(connection, epoch=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.write() as connection:
        fail(connection)
    with store.read() as connection:
        assert epochs(connection) == 0


def test_who_writes_again_has_the_connection_that_it_had(store: Store) -> None:
    def connected(connection: Connection) -> int:
        return id(connection.connection.driver_connection)

    with store.read(), store.read():  # the pool has two from now on
        pass
    first = store.beside(connected)
    assert [store.beside(connected) for _ in range(3)] == [first] * 3


def test_a_reader_sees_the_store_as_it_was_when_it_began(store: Store) -> None:
    with store.read() as reader:
        with store.write() as writer:  # before the reader's first look
            seal(writer, epoch=1)
        assert epochs(reader) == 0
        with store.write() as writer:
            seal(writer, epoch=2)
        assert epochs(reader) == 0
    with store.read() as reader:
        assert epochs(reader) == 2


def test_a_reader_goes_on_while_a_writer_holds_the_store(
    store: Store, store_place: str | Path
) -> None:
    with store.write() as writer:
        seal(writer, epoch=1)
        with open_store(store_place) as other, other.read() as reader:
            assert epochs(reader) == 0


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="read-only"), store.read() as connection:
        seal(connection, epoch=1)
    with store.write() as connection:  # the same connection, from the pool
        seal(connection, epoch=1)


def test_a_writer_waits_for_another_and_then_says_that_it_is_busy(
    store: Store, store_place: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (sqlite, postgresql):
        monkeypatch.setattr(kind, "BUSY_TIMEOUT_S", 0.05)
    with open_store(store_place) as other:
        with store.write(), pytest.raises(StoreBusyError, match="in use by another"), other.write():
            pass
        with other.write() as connection:
            seal(connection, epoch=1)


def test_a_full_disk_refuses_one_command_and_the_next_succeeds(
    store: Store, store_path: Path
) -> None:
    many = [event(f"e{n}") for n in range(5_000)]

    def fill_up(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with store.write() as connection:
        fill_up(connection)
    with pytest.raises(StoreError, match="the disk is full; make room and run it again"):
        ingest(store, rows=many)
    with store.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert count_all_events(connection) == 0
    assert len(ingest(store, rows=many)) == 5_000


def test_a_damaged_file_stops_the_store(store: Store, store_path: Path) -> None:
    ingest(store, rows=[event(f"e{n}") for n in range(5_000)])
    store.close()
    with store_path.open("r+b") as file:
        file.seek(4_096 * 100)
        file.write(b"\xff" * 4_096 * 100)
    with open_store(store_path) as damaged:
        with pytest.raises(StoreStoppedError, match="the file is damaged"), damaged.read() as c:
            c.exec_driver_sql("SELECT sum(length(units)) FROM events NOT INDEXED").all()
        with pytest.raises(StoreStoppedError, match="the file is damaged"), damaged.write():
            pass


def coded(said: str, *, code: int) -> sqlite3.OperationalError:
    """An error as the driver raises it."""
    error = sqlite3.OperationalError(said)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "code, kind, sentence",
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError, "in use"),
        (sqlite3.SQLITE_LOCKED, StoreBusyError, "in use"),
        (sqlite3.SQLITE_FULL, StoreError, "disk is full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreError, "read-only"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StoreError, "cannot be opened"),
        (sqlite3.SQLITE_NOTADB, StoreError, "not a SQLite database"),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreStoppedError, "the disk failed"),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreStoppedError, "damaged"),
    ],
)
def test_a_fault_of_the_machine_is_one_sentence(
    code: int, kind: type[StoreError], sentence: str
) -> None:
    original = coded("as the driver says", code=code)
    with (
        pytest.raises(StoreError, match=f"store.db: .*{sentence}") as raised,
        store_faults("store.db"),
    ):
        raise OperationalError("COMMIT", None, original)
    assert type(raised.value) is kind
    assert isinstance(raised.value, DocumentError)


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("SELECT", None, sqlite3.OperationalError("no such column")),
        OperationalError("SELECT", None, coded("no such column", code=sqlite3.SQLITE_ERROR)),
        OverflowError("cannot convert float infinity to integer"),
        ValueError("ours"),
    ],
)
def test_a_bug_stays_the_error_that_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, store_faults("store.db"):
        raise error
    assert raised.value is error


WRITER = """
import sys
from billing.store.store import open_store
from billing.store.invoices import append_invoice, take_number
from tests.billing.store.made_rows import event, ingest, invoice
with open_store(sys.argv[1]) as store:
    for n in range(60):
        ingest(store, rows=[event(f"e{k}") for k in range(n * 3, n * 3 + 5)])
        with store.write() as connection:
            number = take_number(connection, issuer="us", series="2026")
            row = invoice(number=number, account=sys.argv[2], period_start_at=n)
            append_invoice(connection, invoice=row, lines=[])
"""


def test_two_processes_write_at_once_as_if_one_after_the_other(
    store: Store, store_place: str | Path
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store_place), account],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
        )
        for account in ("acme", "globex")
    ]
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said.decode()
    with store.read() as connection:
        numbers = list(connection.scalars(select(INVOICES.c.number).order_by(INVOICES.c.number)))
        count = count_all_events(connection)
    assert numbers == list(range(1, 121))  # 2 x 60, none missing, none twice
    assert count == 59 * 3 + 5  # each id once, though both sent all of them


def test_a_copy_of_the_file_alone_is_a_whole_store(store: Store, store_path: Path) -> None:
    ingest(store, rows=[event()])
    store.close()  # which folds the write-ahead log into the file
    copy = store_path.with_name("copy.db")
    shutil.copyfile(store_path, copy)
    with open_store(copy) as opened, opened.read() as connection:
        assert count_all_events(connection) == 1


def test_a_store_reads_after_it_was_closed_and_opened(store_place: str | Path) -> None:
    openings: list[Callable[[], Store]] = [lambda: open_store(store_place)] * 2
    for opening in openings:
        with opening() as store:
            ingest(store, rows=[event()])
            with store.read() as connection:
                assert count_all_events(connection) == 1
