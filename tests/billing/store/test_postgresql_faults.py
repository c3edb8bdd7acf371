"""A PostgreSQL server that goes away, is unfit, or says that it cannot: one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from billing.store.faults import StoreLimitError, StoreOverflowError, store_faults
from billing.store.invoices import append_invoice
from billing.store.place import find_place
from billing.store.points import hooked
from billing.store.store import (
    Connection,
    Store,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreLostError,
    StoreStoppedError,
    open_store,
)
from tests.billing.store.made_rows import event, ingest, invoice, kinds
from tests.billing.store.postgresql_server import Server, running
from tests.billing.store.test_postgresql import DIE, append, events_in


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    with running() as started:
        yield started


@pytest.fixture
def own(own_server: Server) -> Iterator[Store]:
    """A store on the server that a test may stop."""
    with own_server.database(template="made") as url, open_store(url) as store:
        yield store


def ended(server: Server) -> None:
    """End the connections of stores, from the outside."""
    server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'tokenworks'"
    )


def test_a_password_is_never_shown() -> None:
    place = find_place("postgresql://me:secret@localhost:1/billing")
    assert place.where == "postgresql://me:***@localhost:1/billing"
    with pytest.raises(StoreLostError, match="cannot be reached") as raised:
        open_store("postgresql://me:secret@localhost:1/billing")
    assert "secret" not in str(raised.value)


def test_a_server_that_restarts_amid_a_transaction_leaves_nothing_of_it(
    own_server: Server, own: Store
) -> None:
    ingest(own, rows=[event("e1")])

    def interrupted(connection: Connection) -> None:
        append(connection, "e2")
        own_server.restart()
        append(connection, "e3")

    with pytest.raises(StoreLostError, match="was lost; run it again"):
        own.beside(interrupted)
    assert events_in(own) == 1  # what was committed; and the store needs not be opened anew
    own_server.restart()
    assert kinds(ingest(own, rows=[event("e1"), event("e2")])) == ["duplicate", "accepted"]


@pytest.mark.parametrize("use", [Store.write, Store.read])
def test_a_connection_that_is_ended_amid_a_transaction_is_a_named_error(
    own_server: Server, own: Store, use: Callable[[Store], AbstractContextManager[Connection]]
) -> None:
    def interrupted() -> None:
        with use(own) as connection:
            ended(own_server)
            connection.execute(text("SELECT 1"))

    with pytest.raises(StoreLostError, match="was lost"):
        interrupted()
    assert events_in(own) == 0


def test_a_connection_that_is_ended_at_the_commit_is_a_named_error(
    own_server: Server, own: Store
) -> None:
    def end_it(name: str) -> None:
        if name == "write.uncommitted":
            ended(own_server)

    with hooked(end_it), pytest.raises(StoreLostError, match="was lost"):
        ingest(own, rows=[event("e1")])
    # Lost before the commit came through; had it come through, the same again is a duplicate.
    assert kinds(ingest(own, rows=[event("e1")])) == ["accepted"]


def test_a_connection_that_is_ended_amid_a_copy_is_a_named_error(
    own_server: Server, own: Store
) -> None:
    def end_it(name: str) -> None:
        if name == "write.begun":
            ended(own_server)

    with hooked(end_it), pytest.raises(StoreLostError, match="was lost"), own.write() as connection:
        append_invoice(connection, invoice=invoice(), lines=[])
    assert events_in(own) == 0


def test_a_server_that_is_stopped_is_named_and_later_reached(
    own_server: Server, own: Store
) -> None:
    own_server.stop()
    try:
        with pytest.raises(StoreLostError, match="cannot be reached"):
            events_in(own)
        with pytest.raises(StoreLostError, match="cannot be reached"):
            open_store(own.where)
    finally:
        own_server.start()
    assert events_in(own) == 0


def test_a_server_that_would_lose_what_it_confirmed_is_refused(
    own_server: Server, own: Store
) -> None:
    for name in ("fsync", "full_page_writes"):
        own_server.run(f"ALTER SYSTEM SET {name} = off", "SELECT pg_reload_conf()")
        try:
            while own_server.run(f"SHOW {name}") != [("off",)]:
                pass
            with pytest.raises(StoreError, match="would lose what it confirmed; set fsync"):
                open_store(own.where)
        finally:
            own_server.run(f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()")
        while own_server.run(f"SHOW {name}") != [("on",)]:
            pass


def test_a_session_waits_until_its_commit_is_durable(server: Server, database: str) -> None:
    name = make_url(database).database or ""
    server.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with open_store(database) as store, store.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_database_with_another_encoding_is_refused(server: Server) -> None:
    server.run("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    with pytest.raises(StoreError, match="has another encoding than UTF8"):
        open_store(server.url("latin"))


def test_a_role_that_may_only_read_is_told_so(server: Server, database: str) -> None:
    name = make_url(database).database or ""
    server.run(
        "DROP ROLE IF EXISTS reader, stranger",
        "CREATE ROLE reader LOGIN",
        "CREATE ROLE stranger LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        database=name,
    )
    with open_store(database.replace("tokenworks@", "reader@")) as store:
        assert events_in(store) == 0
        with pytest.raises(StoreError, match="its role may not do this"), store.write():
            pass
    with pytest.raises(StoreError, match="its role may not do this"):
        open_store(database.replace("tokenworks@", "stranger@"))


def test_without_the_driver_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"run pip install 'tokenworks\[postgresql\]'"):
        open_store("postgresql://localhost/billing")


@pytest.mark.parametrize(
    "state, kind, sentence",
    [
        ("22003", StoreOverflowError, "beyond 64 bits"),
        ("25006", StoreError, "read-only"),
        ("40001", StoreConflictError, "at the same time"),
        ("40P01", StoreConflictError, "at the same time"),
        ("53100", StoreError, "disk is full"),
        ("54000", StoreLimitError, "too long together"),
        ("53300", StoreBusyError, "no connection left"),
        ("55P03", StoreBusyError, "in use"),
        ("57014", StoreBusyError, "time limit"),
        ("57P01", StoreLostError, "was lost"),
        ("57P03", StoreLostError, "starting or stopping"),
        ("58030", StoreStoppedError, "the disk failed"),
        ("XX001", StoreStoppedError, "damaged"),
    ],
)
def test_a_fault_of_the_database_is_one_sentence(
    store: Store, database: str, state: str, kind: type[StoreError], sentence: str
) -> None:
    with pytest.raises(StoreError, match=sentence) as raised, store.write() as connection:
        connection.exec_driver_sql(DIE.format(state=state))
    assert type(raised.value) is kind
    assert (store.stopped is not None) == (kind is StoreStoppedError)


def test_an_error_that_is_a_bug_stays_what_it_is(server: Server) -> None:
    import psycopg

    error = OperationalError("SELECT", None, psycopg.errors.UndefinedColumn("no such column"))
    with pytest.raises(OperationalError) as raised, store_faults("store"):
        raise error
    assert raised.value is error
