"""The migrations: up, down and up again, equal to the models, STRICT, and whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

from billing.store import schema
from billing.store.events import append_events
from billing.store.grid import append_grid, current_grid
from billing.store.place import find_place
from billing.store.rows import json_text
from billing.store.schema import (
    alembic_config,
    append_only_ddl,
    current_revision,
    head_revision,
    migrations_folder,
    upgrade,
)
from billing.store.store import Store, StoreError, open_store
from billing.store.table_parts import METADATA
from billing.store.tables import APPEND_ONLY, REVISION
from billing.store.usage_totals import add_totals, read_all_totals
from billing.store.whole import identities_without_event
from pricing_rules.usage.totals import Grid, negative
from tests.billing.store.made_rows import event, fill, kinds, total
from tests.house.tree import REPOSITORY

REVISIONS = [
    script.revision
    for script in reversed(list(ScriptDirectory.from_config(alembic_config(None)).walk_revisions()))
]


@contextmanager
def connected(place: str | Path) -> Iterator[Connection]:
    """The transaction of an upgrade, on a store at any revision."""
    engine = find_place(place).engine()
    try:
        with engine.connect().execution_options(access="schema") as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


def move(place: str | Path, *, revision: str) -> None:
    """Bring a store to a revision, upwards or downwards."""
    with connected(place) as connection:
        if revision == "base" or (current(connection) or "") > revision:
            command.downgrade(alembic_config(connection), revision)
        else:
            command.upgrade(alembic_config(connection), revision)


def current(connection: Connection) -> str | None:
    """The revision of an open store."""
    return MigrationContext.configure(connection).get_current_revision()


def schema_text(file: Path) -> dict[str, str]:
    """The SQL of every table, index and trigger, without the table of Alembic."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT type || ' ' || name, sql FROM sqlite_schema"
            " WHERE sql IS NOT NULL AND tbl_name != 'alembic_version'"
        )
        return {name: " ".join(sql.split()) for name, sql in rows}


def test_the_history_is_one_line_that_ends_at_the_models() -> None:
    assert sorted(REVISIONS) == REVISIONS
    assert head_revision() == REVISIONS[-1] == REVISION


def test_an_upgrade_makes_a_store_and_is_safe_to_run_again(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    assert current_revision(file) is None
    assert upgrade(file) == REVISION
    before = schema_text(file)
    assert upgrade(f"sqlite:///{file}") == REVISION
    assert current_revision(file) == REVISION
    assert schema_text(file) == before


def test_up_down_and_up_again_gives_the_same_schema(store_path: Path) -> None:
    made = schema_text(store_path)
    for revision in [*reversed(REVISIONS[:-1]), "base"]:
        move(store_path, revision=revision)
    assert schema_text(store_path) == {}
    for revision in REVISIONS:
        move(store_path, revision=revision)
    assert schema_text(store_path) == made


def test_an_upgrade_keeps_the_facts_of_every_earlier_revision(
    store: Store, store_path: Path
) -> None:
    with store.write() as connection:
        fill(connection)
    store.close()
    file = Path(store.where)
    with closing(sqlite3.connect(file)) as raw:
        before = raw.execute("SELECT * FROM events").fetchall()
    move(file, revision=REVISIONS[0])
    upgrade(file)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT * FROM events").fetchall() == before


def test_totals_and_the_grid_come_through_the_revision_of_windows(
    store: Store, store_place: str | Path
) -> None:
    with store.write() as connection:
        append_grid(connection, grid=Grid(instants_at=(5,)), reason="book 1", registered_at=1)
        add_totals(connection, totals=[total(), total(windows=("night@1",)), total(account="b")])
    store.close()
    query = "SELECT account, unit, count FROM usage_totals ORDER BY account, unit"
    move(store_place, revision="0002")
    with connected(store_place) as raw:
        counts = [tuple(row) for row in raw.exec_driver_sql(query)]
    # The cells in and out of the window are one again: 10 + 10 input tokens of 1 + 1 events.
    assert counts == [
        ("acme", "input_tokens", 20),
        ("acme", "requests", 2),
        ("b", "input_tokens", 10),
        ("b", "requests", 1),
    ]
    upgrade(store_place)
    with open_store(store_place) as opened, opened.read() as connection:
        assert read_all_totals(connection, account="acme") == (
            total(events=2, leaves={"input_tokens": 20}),
        )
        assert current_grid(connection).grid == Grid(instants_at=(5,))


ODD: tuple[tuple[str, int, int, str, int, dict[str, int]], ...] = (
    ("acme", 1, 0, "{}", 2, {}),
    ("acme", 1, 1, "{}", 1, {"input_tokens": 10, "cache_write_tokens": 3}),
    (
        "acme",
        1,
        2,
        """{"it's":"a \\"tab\\"\\t","ä":"\U0001f600"}""",
        0,
        {"output_tokens": 2**63 - 1},
    ),
    ("acme", 7, 1, "{}", 2**63 - 1, {"cache_write_tokens": 1, "cache_write_1h_tokens": 5}),
    ("b", 1, 1, "{}", 1, {"input_tokens": 10, "output_tokens": 7, "input_audio_tokens": 4}),
)
"""Totals: account, epoch, start of the segment, dimensions, events and leaves."""

BY_UNIT = (
    "SELECT account, epoch, segment_start_at, dimensions, unit, count FROM usage_totals "
    "ORDER BY account, epoch, segment_start_at, unit"
)


def test_a_cell_has_one_total_from_the_revision_of_events_on(store_place: str | Path) -> None:
    rows = sorted(
        (*cell, unit, count)
        for *cell, events, leaves in ODD
        for unit, count in {"requests": events, **leaves}.items()
        if count
    )
    move(store_place, revision="0004")
    with connected(store_place) as raw:
        for row in rows:
            raw.execute(
                text(
                    "INSERT INTO usage_totals (account, epoch, segment_start_at, dimensions, unit, "
                    "count, size_class_tokens, model, service_tier, region, outcome, windows) "
                    "VALUES (:a, :e, :s, :d, :u, :n, 0, 'm', 'standard', '', 'completed', '[]')"
                ),
                dict(zip("aesdun", row, strict=True)),
            )
    upgrade(store_place)
    with connected(store_place) as raw:
        found = raw.exec_driver_sql(
            "SELECT account, epoch, segment_start_at, dimensions, events, leaves "
            "FROM usage_totals ORDER BY account, epoch, segment_start_at"
        )
        assert list(map(tuple, found)) == [(*cell, json_text(leaves)) for *cell, leaves in ODD]
    move(store_place, revision="0004")
    with connected(store_place) as raw:
        assert list(map(tuple, raw.exec_driver_sql(BY_UNIT))) == rows


def test_an_id_whose_event_is_lost_stays_taken(store_place: str | Path) -> None:
    move(store_place, revision="0004")
    with connected(store_place) as raw:
        raw.execute(
            text(
                "INSERT INTO event_ids (owner, source, id, payload_digest, account, epoch, "
                "received_at) VALUES ('provider', 'gw', 'e1', 'd1', 'acme', 1, 5)"
            )
        )
    upgrade(store_place)
    with open_store(store_place) as opened, opened.write() as connection:
        lost = [one.id for one in identities_without_event(connection)]
        told = append_events(
            connection, owner="provider", rows=[event("e1")], epoch=1, received_at=6
        )
    assert (lost, kinds(told)) == (["e1"], ["duplicate"])


def test_a_negative_total_is_not_taken_to_the_revisions_that_know_none(
    store: Store, store_place: str | Path
) -> None:
    with store.write() as connection:
        add_totals(connection, totals=[total(), total(epoch=2), negative(total(epoch=2))])
    move(store_place, revision="0004")
    with connected(store_place) as raw:  # nothing is left of what was taken away whole
        assert list(map(tuple, raw.exec_driver_sql(BY_UNIT))) == [
            ("acme", 1, 0, "{}", "input_tokens", 10),
            ("acme", 1, 0, "{}", "requests", 1),
        ]
    upgrade(store_place)
    with store.write() as connection:
        add_totals(connection, totals=[negative(total(epoch=2))])
    with pytest.raises(IntegrityError, match="count_bounded"):
        move(store_place, revision="0004")
    assert current_revision(store_place) == REVISION


def test_the_migrations_make_what_the_models_say(store_path: Path) -> None:
    with connected(store_path) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_table_by_table_the_sql_is_the_same(store_path: Path, tmp_path: Path) -> None:
    # Autogenerate does not look at CHECK, STRICT and WITHOUT ROWID; the text of the tables does.
    file = tmp_path / "models.db"
    engine = create_engine(f"sqlite:///{file}")
    METADATA.create_all(engine)
    engine.dispose()
    migrated = {k: v for k, v in schema_text(store_path).items() if not k.startswith("trigger")}
    assert migrated == schema_text(file)


@pytest.mark.parametrize("revision", REVISIONS)
def test_after_each_revision_tables_are_strict_and_facts_have_triggers(
    tmp_path: Path, revision: str
) -> None:
    file = tmp_path / "at.db"
    move(file, revision=revision)
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list"
            " WHERE schema = 'main' AND name NOT LIKE 'sqlite%' AND name != 'alembic_version'"
        ).fetchall()
        triggers = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
            )
        }
    assert tables
    assert [name for name, strict in tables if not strict] == []
    facts = {name for name, _ in tables} & set(APPEND_ONLY)
    assert triggers == {f"{name}_never_{verb}" for name in facts for verb in ("update", "delete")}


def test_an_upgrade_that_fails_in_its_last_migration_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(table: str, *, dialect: str) -> tuple[str, ...]:
        last = table == "audit"
        return ("SELECT no_such_column",) if last else append_only_ddl(table, dialect=dialect)

    old = tmp_path / "old.db"
    move(old, revision=REVISIONS[0])
    before = schema_text(old)
    new = tmp_path / "new.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "append_only_ddl", broken)
        for file in (old, new):
            with pytest.raises(Exception, match="no_such_column"):
                upgrade(file)
    assert (current_revision(old), current_revision(new)) == (REVISIONS[0], None)
    assert (schema_text(old), schema_text(new)) == (before, {})
    for file in (old, new):  # and the next one succeeds
        assert upgrade(file) == REVISION


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match="holds the tables of another program"):
        upgrade(file)
    assert set(schema_text(file)) == {"table songs"}


def test_a_store_of_a_newer_program_is_refused(store_path: Path) -> None:
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match=r"made by another version of this program .*9999"):
        upgrade(store_path)


@pytest.mark.parametrize(
    "name, sentence", [("none/new.db", "folder does not exist"), (".", "is a")]
)
def test_a_place_where_no_store_can_be_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        upgrade(tmp_path / name)


def test_migrations_for_another_database_are_not_made_up() -> None:
    with pytest.raises(KeyError, match="mysql"):
        append_only_ddl("events", dialect="mysql")


def test_migrations_without_a_transaction_of_ours_are_refused() -> None:
    with pytest.raises(RuntimeError, match="tokenworks db upgrade"):
        command.upgrade(alembic_config(None), "head")


def test_an_installed_wheel_brings_its_migrations(tmp_path: Path) -> None:
    assert migrations_folder() == REPOSITORY / "migrations"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = (
        "from billing.store.schema import migrations_folder, upgrade\n"
        "print(migrations_folder()); print(upgrade('store.db'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == [str(installed / "billing" / "_migrations"), REVISION], (
        result.stderr
    )
    open_store(tmp_path / "store.db").close()
