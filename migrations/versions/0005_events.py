"""Event ids name their event, events say where their moment is from, and a cell has one total.

Three tables are made anew, which keeps STRICT, constraints and triggers. Events had a second
constraint on their identity and a foreign key to it: both cost as much as all else of an event that
is stored. The identity is unique in ``event_ids`` alone, where it always was, and ``verify`` says
that every event has its id and every id its event. Totals had a row for each leaf, with a wide key:
now a cell has one row, with its events and its leaves, which are negative where more was voided in
an epoch than came in.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited. Leaves
are canonical JSON: keys in the order of their bytes, no blanks.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

APPEND_ONLY = ("event_ids", "events")

IDENTITY = ("owner", "source", "id")
ID_REST = ("payload_digest", "account", "epoch", "received_at")
EVENT = (
    *("seq", "owner", "source", "id", "account", "occurred_at", "model", "service_tier", "region"),
    *("request_tokens", "outcome", "dimensions", "units", "epoch", "received_at"),
)
CELL = (
    *("account", "epoch", "segment_start_at", "size_class_tokens", "model", "service_tier"),
    *("region", "outcome", "dimensions", "windows"),
)

NO_EVENT = 2**63 - 1
"""What an id names whose event is lost: it stays taken, and ``verify`` names it."""

EVENTS = "COALESCE(MAX(CASE WHEN unit = 'requests' THEN count END), 0)"
IS_LEAF = "FILTER (WHERE unit <> 'requests' AND count <> 0)"
LEAVES = {
    # The rows of a cell come in the order of the primary key, which ends with the unit.
    "sqlite": f"json_group_object(unit, count) {IS_LEAF}",
    "postgresql": "'{' || COALESCE(string_agg(to_json(unit)::TEXT || ':' || count, ',' "
    f"ORDER BY unit) {IS_LEAF}, '') || '}}'",
}
EACH_LEAF = {
    "sqlite": "json_each(leaves)",
    "postgresql": "LATERAL (SELECT key, value::BIGINT FROM json_each_text(leaves::json)) AS leaf",
}


def upgrade() -> None:
    """Make the three tables anew, with what they hold."""
    cell = _names(CELL)
    for table in ("event_ids", "events"):
        op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
    op.execute(
        f"CREATE TABLE usage_totals_before AS SELECT {cell}, {EVENTS} AS events, "
        f"{LEAVES[_dialect()]} AS leaves FROM usage_totals GROUP BY {cell}"
    )
    for table in ("events", "event_ids", "usage_totals"):
        op.drop_table(table)
    _events(named_once=False)
    _fill("events", columns=EVENT, made={"timed_by": "'event'"})
    _event_ids(event=("event",))
    op.execute(
        f"INSERT INTO event_ids ({_names((*IDENTITY, 'event', *ID_REST))}) "
        f"SELECT {_names(IDENTITY, of='i')}, COALESCE(e.seq, {NO_EVENT}), "
        f"{_names(ID_REST, of='i')} "
        f"FROM event_ids_before AS i LEFT JOIN events_before AS e USING ({_names(IDENTITY)})"
    )
    _usage_totals()
    _fill("usage_totals", columns=(*CELL, "events", "leaves"), made={})
    _done()


def downgrade() -> None:
    """Make the three tables as they were; there must be no negative total."""
    cell = _names(CELL)
    for table in ("event_ids", "events"):
        op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
    op.execute(
        f"CREATE TABLE usage_totals_before AS SELECT {cell}, 'requests' AS unit, events AS count "
        f"FROM usage_totals WHERE events <> 0 UNION ALL SELECT {cell}, key, value "
        f"FROM usage_totals, {EACH_LEAF[_dialect()]}"
    )
    for table in ("event_ids", "events", "usage_totals"):
        op.drop_table(table)
    _event_ids(event=())
    _fill("event_ids", columns=(*IDENTITY, *ID_REST), made={})
    _events(named_once=True)
    _fill("events", columns=EVENT, made={})
    _usage_totals_by_unit()
    _fill("usage_totals", columns=(*CELL, "unit", "count"), made={})
    _done()


def _dialect() -> str:
    return op.get_bind().dialect.name


def _names(columns: tuple[str, ...], *, of: str = "") -> str:
    return ", ".join(f'{of}."{name}"' if of else f'"{name}"' for name in columns)


def _fill(table: str, *, columns: tuple[str, ...], made: dict[str, str]) -> None:
    names = _names((*columns, *made))
    values = ", ".join((_names(columns), *made.values()))
    op.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}_before")


def _done() -> None:
    dialect = _dialect()
    for table in ("event_ids", "events", "usage_totals"):
        op.drop_table(f"{table}_before")
    if dialect == "postgresql":  # the next number follows the last
        op.execute(
            "SELECT setval(pg_get_serial_sequence('events', 'seq'), "
            "(SELECT COALESCE(MAX(seq), 1) FROM events), (SELECT COUNT(*) > 0 FROM events))"
        )
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=dialect):
            op.execute(statement)


def _event_ids(*, event: tuple[str, ...]) -> None:
    op.create_table(
        "event_ids",
        *(sa.Column(name, WORDS, nullable=False) for name in IDENTITY),
        *(sa.Column(name, WHOLE, nullable=False) for name in event),
        sa.Column("payload_digest", WORDS, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(*IDENTITY, name=op.f("pk_event_ids")),
        *_named("event_ids", names=(*IDENTITY, "payload_digest", "account")),
        *_at_least(1, table="event_ids", names=(*event, "epoch")),
        *_at_least(0, table="event_ids", names=("received_at",)),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _events(*, named_once: bool) -> None:
    """The table of events; ``named_once``: with the second constraint on their identity."""
    once = (
        sa.UniqueConstraint(*IDENTITY, name=op.f("uq_events_owner_source_id")),
        sa.ForeignKeyConstraint(
            list(IDENTITY), [f"event_ids.{name}" for name in IDENTITY], name="fk_events_event_ids"
        ),
    )
    timed = sa.CheckConstraint(
        "timed_by IN ('event', 'receipt')", name=op.f("ck_events_timed_by_known")
    )
    op.create_table(
        "events",
        sa.Column("seq", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in (*IDENTITY, "account")),
        sa.Column("occurred_at", WHOLE, nullable=False),
        *(() if named_once else (sa.Column("timed_by", WORDS, nullable=False),)),
        *(sa.Column(name, WORDS, nullable=False) for name in ("model", "service_tier", "region")),
        sa.Column("request_tokens", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("outcome", "dimensions", "units")),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        *(once if named_once else (timed,)),
        *_named("events", names=(*IDENTITY, "account", "model", "service_tier", "outcome")),
        *_at_least(1, table="events", names=("epoch",)),
        *_at_least(0, table="events", names=("occurred_at", "request_tokens", "received_at")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_events_account_occurred_at"), "events", ["account", "occurred_at"])


def _usage_totals() -> None:
    """The table of totals with a row for each cell."""
    op.create_table(
        "usage_totals",
        *_cell_columns(),
        sa.Column("events", WHOLE, nullable=False),
        sa.Column("leaves", WORDS, nullable=False),
        sa.PrimaryKeyConstraint(*CELL, name=op.f("pk_usage_totals")),
        *_named(
            "usage_totals",
            names=("account", "model", "service_tier", "outcome", "windows", "leaves"),
        ),
        *_at_least(1, table="usage_totals", names=("epoch",)),
        *_at_least(0, table="usage_totals", names=("segment_start_at", "size_class_tokens")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
        # Counts change in place: a new version of a row then needs no new entry in the index.
        postgresql_with={"fillfactor": 50},
    )


def _usage_totals_by_unit() -> None:
    """The table of totals with a row for each unit of a cell, none negative."""
    op.create_table(
        "usage_totals",
        *_cell_columns(),
        sa.Column("unit", WORDS, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(*CELL, "unit", name=op.f("pk_usage_totals")),
        *_named(
            "usage_totals",
            names=("account", "model", "service_tier", "outcome", "windows", "unit"),
        ),
        *_at_least(1, table="usage_totals", names=("epoch",)),
        *_at_least(
            0, table="usage_totals", names=("segment_start_at", "size_class_tokens", "count")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _cell_columns() -> tuple[sa.Column[Any], ...]:
    wholes = ("epoch", "segment_start_at", "size_class_tokens")
    return tuple(
        sa.Column(name, WHOLE if name in wholes else WORDS, nullable=False) for name in CELL
    )


def _named(table: str, *, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(f"{name} != ''", name=op.f(f"ck_{table}_{name}_named")) for name in names
    )


def _at_least(least: int, *, table: str, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(f"{name} >= {least}", name=op.f(f"ck_{table}_{name}_bounded"))
        for name in names
    )
