"""The migrations on PostgreSQL: up, down and up again, equal to the models, and whole or not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from billing.store import schema
from billing.store.faults import store_faults
from billing.store.schema import append_only_ddl, current_revision, upgrade
from billing.store.store import Store, StoreBusyError, StoreError, open_store
from billing.store.table_parts import METADATA
from billing.store.tables import APPEND_ONLY, REVISION
from tests.billing.store.made_rows import event, fill, ingest
from tests.billing.store.postgresql_server import Server
from tests.billing.store.test_schema import REVISIONS, connected, move

COLUMNS = """
SELECT table_name || '.' || column_name, concat_ws(' ', data_type, collation_name, is_nullable,
       column_default)
FROM information_schema.columns WHERE table_schema = 'public'
"""
CONSTRAINTS = """
SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
TRIGGERS = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
FUNCTIONS = """
SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
TABLES = (COLUMNS, CONSTRAINTS, INDEXES)


def described(url: str, *, parts: tuple[str, ...]) -> dict[str, str]:
    """What the catalogue of the database says of our tables, without the table of Alembic."""
    with connected(url) as connection:
        rows = [row for part in parts for row in connection.exec_driver_sql(part)]
    return {name: said for name, said in rows if "alembic_version" not in name}


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """A database without tables."""
    with server.database() as url:
        yield url


def test_an_upgrade_makes_a_store_and_is_safe_to_run_again(empty: str) -> None:
    with pytest.raises(StoreError, match="holds no tables of a store; run tokenworks db upgrade"):
        open_store(empty)
    assert current_revision(empty) is None
    assert upgrade(empty) == REVISION
    assert upgrade(empty.replace("postgresql:", "postgresql+psycopg:")) == REVISION
    assert current_revision(empty) == REVISION


def test_up_down_and_up_again_gives_the_same_schema(database: str) -> None:
    everything = (*TABLES, TRIGGERS, FUNCTIONS)
    made = described(database, parts=everything)
    assert "events_never_truncate" in made
    for revision in [*reversed(REVISIONS[:-1]), "base"]:
        move(database, revision=revision)
        _check_triggers(database)
    assert described(database, parts=everything) == {}
    for revision in REVISIONS:
        move(database, revision=revision)
        _check_triggers(database)
    assert described(database, parts=everything) == made


def _check_triggers(url: str) -> None:
    """Each table of facts has its three triggers, and no other table has one."""
    tables = {name.partition(".")[0] for name in described(url, parts=(COLUMNS,))}
    assert set(described(url, parts=(TRIGGERS,))) == {
        f"{name}_never_{verb}"
        for name in tables & set(APPEND_ONLY)
        for verb in ("update", "delete", "truncate")
    }


def test_the_migrations_make_what_the_models_say(database: str, empty: str) -> None:
    with connected(database) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
    with connected(empty) as connection:
        METADATA.create_all(connection)
    # Autogenerate does not look at CHECK and collations; the catalogue has them.
    assert described(database, parts=TABLES) == described(empty, parts=TABLES)


def test_whole_numbers_have_64_bits_and_texts_compare_byte_for_byte(database: str) -> None:
    kinds = {said.removesuffix(" NO") for said in described(database, parts=(COLUMNS,)).values()}
    assert {kind.removesuffix(" YES") for kind in kinds} == {
        "bigint",
        "text C",
        "bigint NO nextval('events_seq_seq'::regclass)",
        "bigint NO nextval('audit_seq_seq'::regclass)",
        "bigint NO nextval('corrections_seq_seq'::regclass)",
        "bigint NO nextval('event_corrections_seq_seq'::regclass)",
        "bigint NO nextval('backfills_seq_seq'::regclass)",
        "bigint NO nextval('webhook_messages_seq_seq'::regclass)",
    }


def test_an_upgrade_keeps_the_facts_of_every_earlier_revision(store: Store, database: str) -> None:
    with store.write() as connection:
        fill(connection)
    store.close()

    def facts() -> list[tuple[object, ...]]:
        with connected(database) as connection:
            return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM events")]

    before = facts()
    move(database, revision=REVISIONS[0])
    upgrade(database)
    assert facts() == before != []


def test_an_upgrade_that_fails_in_its_last_migration_leaves_the_store_as_it_was(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(table: str, *, dialect: str) -> tuple[str, ...]:
        last = table == "audit"
        return ("SELECT no_such_column",) if last else append_only_ddl(table, dialect=dialect)

    move(database, revision=REVISIONS[0])
    before = described(database, parts=(*TABLES, TRIGGERS))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "append_only_ddl", broken)
        with pytest.raises(Exception, match="no_such_column"):
            upgrade(database)
    assert current_revision(database) == REVISIONS[0]
    assert described(database, parts=(*TABLES, TRIGGERS)) == before
    assert upgrade(database) == REVISION


def test_two_upgrades_at_once_have_one_effect(empty: str) -> None:
    ended: list[str] = []
    upgrades = [threading.Thread(target=lambda: ended.append(upgrade(empty))) for _ in range(3)]
    for one in upgrades:
        one.start()
    for one in upgrades:
        one.join()
    assert ended == [REVISION] * 3


def test_an_upgrade_waits_for_who_writes_and_says_that_it_is_busy(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.store.postgresql.BUSY_TIMEOUT_S", 0.05)
    with store.write() as connection:
        fill(connection)
        with pytest.raises(StoreBusyError, match="in use by another process"):
            move_guarded(database)
    assert current_revision(database) == REVISION


def move_guarded(url: str) -> None:
    """A downgrade whose faults are told as those of a store."""
    with store_faults(url):
        move(url, revision=REVISIONS[0])


def test_a_database_of_another_program_is_refused(server: Server, empty: str) -> None:
    with connected(empty) as connection:
        connection.exec_driver_sql("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match="holds the tables of another program"):
        upgrade(empty)


def test_a_store_that_is_upgraded_while_it_is_open_is_refused_from_then_on(
    store: Store, database: str
) -> None:
    ingest(store, rows=[event()])
    with connected(database) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9998'")
    with pytest.raises(StoreError, match="is at revision 9998"), store.write():
        pass
    with pytest.raises(StoreError, match=r"made by another version of this program .*9998"):
        upgrade(database)
