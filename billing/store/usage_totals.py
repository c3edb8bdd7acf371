"""Usage totals: added to at ingest, rebuilt for one account at a time, and read for rating.

Invariant: a total is the sum of what was added to it, in integers; what does not fit into 64 bits
is refused, never wrong. The unit ``requests`` holds the number of events of a cell. What was taken
away by corrections counts negative in its epoch; over all epochs up to any one no total is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, Row, Select, case, delete, select

from billing.store.grid import set_account_grid
from billing.store.points import reach
from billing.store.rows import json_text, upsert, whole_sum
from billing.store.statements import run, run_each
from billing.store.table_parts import Whole
from billing.store.tables import USAGE_TOTALS
from pricing_rules.period import Period
from pricing_rules.usage.totals import Cell, UsageTotal
from pricing_rules.usage.units import REQUESTS

_KEY = tuple(column.name for column in USAGE_TOTALS.primary_key)
_CELL = _KEY[:-1]

_read_pairs = msgspec.json.Decoder(dict[str, str]).decode
_read_keys = msgspec.json.Decoder(tuple[str, ...]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentUse:
    """That an account has usage of an epoch and an outcome in a time segment.

    ``events``: how many came in, less those that were taken away; it may be zero or negative.
    """

    segment_start_at: int
    epoch: int
    outcome: str
    events: int


def add_totals(connection: Connection, *, totals: Sequence[UsageTotal]) -> None:
    """Add to what is stored: count = count + the count given, in key order.

    Cells that are stored under the same key add up, equal cells among ``totals`` too; a total of
    zero of a unit makes no row. StoreError where a sum is beyond 64 bits.
    """
    _add(connection, totals=totals)
    reach("totals.added")


def read_totals(
    connection: Connection, *, account: str, period: Period, through_epoch: int
) -> tuple[UsageTotal, ...]:
    """The totals of an account whose time segment starts in ``period``, in canonical key order.

    They are apart by epoch, up to ``through_epoch``. The bounds of a period are cuts of the
    account's grid, so that no segment lies in two periods.
    """
    columns = USAGE_TOTALS.c
    query = select(USAGE_TOTALS).where(
        columns.account == account,
        columns.epoch <= through_epoch,
        columns.segment_start_at >= period.start_at,
        columns.segment_start_at < period.end_at,
    )
    return tuple(sorted(_totals(connection, query=query), key=lambda total: total.cell))


def read_all_totals(connection: Connection, *, account: str) -> tuple[UsageTotal, ...]:
    """All totals of an account, apart by epoch, in canonical key order."""
    query = select(USAGE_TOTALS).where(USAGE_TOTALS.c.account == account)
    return tuple(sorted(_totals(connection, query=query), key=lambda total: total.cell))


def read_segments(
    connection: Connection, *, account: str, through_epoch: int
) -> tuple[SegmentUse, ...]:
    """In which time segments an account has usage, of which epochs up to ``through_epoch``."""
    columns = USAGE_TOTALS.c
    key = (columns.segment_start_at, columns.epoch, columns.outcome)
    events = whole_sum(case((columns.unit == REQUESTS, columns.count), else_=0))
    query = (
        select(*key, events)
        .where(columns.account == account, columns.epoch <= through_epoch, columns.count != 0)
        .group_by(*key)
        .order_by(*key)
    )
    return tuple(
        SegmentUse(segment_start_at=start_at, epoch=epoch, outcome=outcome, events=events)
        for start_at, epoch, outcome, events in connection.execute(query)
    )


def accounts_with_totals(connection: Connection) -> tuple[str, ...]:
    """The accounts that have usage, sorted."""
    query = select(USAGE_TOTALS.c.account).distinct().order_by(USAGE_TOTALS.c.account)
    return tuple(connection.scalars(query))


def replace_totals(
    connection: Connection,
    *,
    account: str,
    totals: Sequence[UsageTotal],
    grid_version: int,
    agreement_version: int,
) -> None:
    """Put other totals in the place of an account's, and note under which versions they were built.

    ValueError where a total is of another account.
    """
    strangers = {total.cell.account for total in totals} - {account}
    if strangers:
        raise ValueError(f"totals of {sorted(strangers)} in place of those of {account}")
    connection.execute(delete(USAGE_TOTALS).where(USAGE_TOTALS.c.account == account))
    reach("totals.removed")
    _add(connection, totals=totals)
    set_account_grid(
        connection,
        account=account,
        grid_version=grid_version,
        agreement_version=agreement_version,
    )
    reach("totals.replaced")


def _add(connection: Connection, *, totals: Sequence[UsageTotal]) -> None:
    added: dict[tuple[Any, ...], int] = {}
    for *key, count in _rows(totals):
        unit = tuple(key)
        added[unit] = added.get(unit, 0) + count
    # In key order: no two transactions wait for each other.
    rows = [(*unit, added[unit]) for unit in sorted(added)]
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        run_each(connection, statement=_upsert_sql(connection.dialect), rows=rows)
    else:
        run(connection, statement=_UPSERT_ALL, parameters=(json_text(rows),))


def _rows(totals: Sequence[UsageTotal]) -> Iterator[tuple[Any, ...]]:
    for total in totals:
        cell = total.cell
        key = (
            cell.account,
            cell.epoch,
            cell.segment_start_at,
            cell.size_class_tokens,
            cell.model,
            cell.service_tier,
            cell.region,
            cell.outcome,
            json_text(dict(cell.dimensions)) if cell.dimensions else "{}",
            json_text(cell.windows) if cell.windows else "[]",
        )
        for unit, count in ((REQUESTS, total.events), *total.leaves.items()):
            if count:
                yield (*key, unit, count)


_KEY_SQL = ", ".join(_KEY)
_VALUES_SQL = ", ".join(
    f"(r ->> {place}){'::BIGINT' if isinstance(column.type, Whole) else ''}"
    for place, column in enumerate(USAGE_TOTALS.c)
)
_UPSERT_ALL = (
    f"INSERT INTO usage_totals ({_KEY_SQL}, count) SELECT {_VALUES_SQL} "
    "FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS sent (r, place) ORDER BY place "
    f"ON CONFLICT ({_KEY_SQL}) DO UPDATE SET count = usage_totals.count + excluded.count"
)
"""The additive upsert of PostgreSQL: all rows, as JSON, with one statement and no temporary table.
"""


@lru_cache(maxsize=8)
def _upsert_sql(dialect: Dialect) -> str:
    """The additive upsert as the driver takes it, with parameters in the order of the columns."""
    statement = upsert(USAGE_TOTALS, dialect=dialect)
    added = statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={"count": USAGE_TOTALS.c.count + statement.excluded["count"]},
    )
    return str(added.compile(dialect=dialect))


def _totals(connection: Connection, *, query: Select[Any]) -> Iterator[UsageTotal]:
    """The totals of a query whose rows come in key order; what was taken away whole is none."""
    query = query.where(USAGE_TOTALS.c.count != 0)
    rows = connection.execute(query.order_by(*USAGE_TOTALS.primary_key))
    for key, group in groupby(rows, key=_cell_key):
        leaves: dict[str, int] = {row[-2]: row[-1] for row in group}
        fields = dict(zip(_CELL, key, strict=True))
        fields["dimensions"] = tuple(sorted(_read_pairs(fields["dimensions"]).items()))
        fields["windows"] = _read_keys(fields["windows"])
        yield UsageTotal(cell=Cell(**fields), events=leaves.pop(REQUESTS, 0), leaves=leaves)


def _cell_key(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(row[: len(_CELL)])
