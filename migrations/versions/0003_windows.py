"""Recurring windows in the grid and in usage totals, and the days and months of the grid.

The two tables are made anew: the windows in force are a part of the key of a total, and a table
that is made anew keeps STRICT, its constraints and its triggers.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES: tuple[str, ...] = ()
APPEND_ONLY = ("grid_versions",)

CELL = (
    "account",
    "epoch",
    "segment_start_at",
    "size_class_tokens",
    "model",
    "service_tier",
    "region",
    "outcome",
    "dimensions",
)
VERSION = ("version", "thresholds", "dimensions", "instants")
REGISTERED = ("reason", "registered_at")


def upgrade() -> None:
    """Make both tables anew, with no window in force and nothing that recurs."""
    _set_aside("usage_totals")
    _usage_totals(windows=("windows",))
    _fill("usage_totals", columns=(*CELL, "windows", "unit", "count"), empty=("windows",))
    _set_aside("grid_versions")
    _grid_versions(recurring=("windows", "calendar_cuts"))
    _fill(
        "grid_versions",
        columns=(*VERSION, "windows", "calendar_cuts", *REGISTERED),
        empty=("windows", "calendar_cuts"),
    )


def downgrade() -> None:
    """Make both tables as they were; totals of one cell in and out of a window add up."""
    _set_aside("usage_totals")
    _usage_totals(windows=())
    cell = ", ".join(f'"{name}"' for name in (*CELL, "unit"))
    op.execute(
        f'INSERT INTO usage_totals ({cell}, "count") SELECT {cell}, SUM("count") '
        f"FROM usage_totals_before GROUP BY {cell}"
    )
    op.drop_table("usage_totals_before")
    _set_aside("grid_versions")
    _grid_versions(recurring=())
    _fill("grid_versions", columns=(*VERSION, *REGISTERED), empty=())


def _set_aside(table: str) -> None:
    op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
    op.drop_table(table)


def _fill(table: str, *, columns: tuple[str, ...], empty: tuple[str, ...]) -> None:
    """Put back what was set aside; ``empty`` columns are new and hold empty JSON lists."""
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join("'[]'" if name in empty else f'"{name}"' for name in columns)
    op.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}_before")
    op.drop_table(f"{table}_before")
    if table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def _usage_totals(*, windows: tuple[str, ...]) -> None:
    op.create_table(
        "usage_totals",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("segment_start_at", WHOLE, nullable=False),
        sa.Column("size_class_tokens", WHOLE, nullable=False),
        sa.Column("model", WORDS, nullable=False),
        sa.Column("service_tier", WORDS, nullable=False),
        sa.Column("region", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("dimensions", WORDS, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in windows),
        sa.Column("unit", WORDS, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(*CELL, *windows, "unit", name=op.f("pk_usage_totals")),
        sa.CheckConstraint("account != ''", name=op.f("ck_usage_totals_account_named")),
        sa.CheckConstraint("model != ''", name=op.f("ck_usage_totals_model_named")),
        sa.CheckConstraint("service_tier != ''", name=op.f("ck_usage_totals_service_tier_named")),
        sa.CheckConstraint("outcome != ''", name=op.f("ck_usage_totals_outcome_named")),
        *(
            sa.CheckConstraint(f"{name} != ''", name=op.f(f"ck_usage_totals_{name}_named"))
            for name in windows
        ),
        sa.CheckConstraint("unit != ''", name=op.f("ck_usage_totals_unit_named")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_usage_totals_epoch_bounded")),
        sa.CheckConstraint(
            "segment_start_at >= 0", name=op.f("ck_usage_totals_segment_start_at_bounded")
        ),
        sa.CheckConstraint(
            "size_class_tokens >= 0", name=op.f("ck_usage_totals_size_class_tokens_bounded")
        ),
        sa.CheckConstraint("count >= 0", name=op.f("ck_usage_totals_count_bounded")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _grid_versions(*, recurring: tuple[str, ...]) -> None:
    op.create_table(
        "grid_versions",
        sa.Column("version", WHOLE, autoincrement=False, nullable=False),
        sa.Column("thresholds", WORDS, nullable=False),
        sa.Column("dimensions", WORDS, nullable=False),
        sa.Column("instants", WORDS, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in recurring),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("registered_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_grid_versions")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_grid_versions_version_bounded")),
        sa.CheckConstraint("thresholds != ''", name=op.f("ck_grid_versions_thresholds_named")),
        sa.CheckConstraint("dimensions != ''", name=op.f("ck_grid_versions_dimensions_named")),
        sa.CheckConstraint("instants != ''", name=op.f("ck_grid_versions_instants_named")),
        *(
            sa.CheckConstraint(f"{name} != ''", name=op.f(f"ck_grid_versions_{name}_named"))
            for name in recurring
        ),
        sa.CheckConstraint("reason != ''", name=op.f("ck_grid_versions_reason_named")),
        sa.CheckConstraint(
            "registered_at >= 0", name=op.f("ck_grid_versions_registered_at_bounded")
        ),
        sqlite_strict=True,
    )
