"""Usage totals: added to at ingest, rebuilt for one account at a time, and read for rating.

Invariant: a total is the sum of what was added to it, in integers; what does not fit into 64 bits
is refused, never wrong. A cell has one row: how many events it has, and its leaves as canonical
JSON without zeros. What was taken away by corrections counts negative in its epoch; over all epochs
up to any one no total is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, delete, or_, select

from billing.domain.verification.equations import stored_moment_text
from billing.store.faults import CountOverflowError
from billing.store.grid import set_account_grid
from billing.store.points import reach
from billing.store.rows import json_text, read_counts, read_labels, whole_sum
from billing.store.statements import run, run_each
from billing.store.table_parts import Whole
from billing.store.tables import USAGE_TOTALS
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.usage.totals import CELL_ORDER, Cell, UsageTotal
from pricing_rules.usage.units import REPORTED_UNITS

T = TypeVar("T")

_COLUMNS = USAGE_TOTALS.c
_KEY = tuple(column.name for column in USAGE_TOTALS.primary_key)
_MOST = 2**63 - 1
_ROWS_AT_ONCE = 10_000
"""In one JSON array; PostgreSQL takes 256 MiB."""

_LEAVES = frozenset(REPORTED_UNITS)

_IS_THERE = or_(_COLUMNS.events != 0, _COLUMNS.leaves != "{}")
"""What was taken away whole is no total."""

_read_keys = msgspec.json.Decoder(tuple[str, ...]).decode


class DamagedTotalError(DocumentError):
    """A row of totals that this program did not write; a rebuild of its account mends it."""


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
    """Add to what is stored, in key order.

    Cells that are stored under the same key add up, equal cells among ``totals`` too; a cell
    without events and leaves makes no row. StoreError where a sum is beyond 64 bits.
    """
    _add(connection, totals=totals)
    reach("totals.added")


def read_totals(
    connection: Connection, *, account: str, period: Period, through_epoch: int
) -> tuple[UsageTotal, ...]:
    """The totals of an account whose time segment starts in ``period``, in canonical key order.

    They are apart by epoch, up to ``through_epoch``. The bounds of a period are cuts of the
    account's grid, so that no segment lies in two periods. DamagedTotalError for a row that this
    program did not write.
    """
    query = select(USAGE_TOTALS).where(
        _COLUMNS.account == account,
        _COLUMNS.epoch <= through_epoch,
        _COLUMNS.segment_start_at >= period.start_at,
        _COLUMNS.segment_start_at < period.end_at,
    )
    return _totals(connection, query=query)


def read_all_totals(connection: Connection, *, account: str) -> tuple[UsageTotal, ...]:
    """All totals of an account, apart by epoch, in canonical key order.

    DamagedTotalError for a row that this program did not write.
    """
    return _totals(connection, query=select(USAGE_TOTALS).where(_COLUMNS.account == account))


def read_segments(
    connection: Connection, *, account: str, through_epoch: int
) -> tuple[SegmentUse, ...]:
    """In which time segments an account has usage, of which epochs up to ``through_epoch``."""
    key = (_COLUMNS.segment_start_at, _COLUMNS.epoch, _COLUMNS.outcome)
    query = (
        select(*key, whole_sum(_COLUMNS.events))
        .where(_COLUMNS.account == account, _COLUMNS.epoch <= through_epoch, _IS_THERE)
        .group_by(*key)
        .order_by(*key)
    )
    return tuple(
        SegmentUse(segment_start_at=start_at, epoch=epoch, outcome=outcome, events=events)
        for start_at, epoch, outcome, events in connection.execute(query)
    )


def accounts_with_totals(connection: Connection) -> tuple[str, ...]:
    """The accounts that have usage, sorted."""
    query = select(_COLUMNS.account).distinct().order_by(_COLUMNS.account)
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
    connection.execute(delete(USAGE_TOTALS).where(_COLUMNS.account == account))
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
    rows = _rows(totals)
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        run_each(connection, statement=_ADD_SQLITE, rows=rows)
        return
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        run(connection, statement=_ADD_POSTGRESQL, parameters=(json_text(some),))


def _rows(totals: Sequence[UsageTotal]) -> list[tuple[Any, ...]]:
    """The rows of totals, one for each cell, in key order: no two transactions wait for each
    other.
    """
    sums: dict[tuple[Any, ...], tuple[int, Mapping[str, int]]] = {}
    for total in totals:
        key, events, leaves = _key(total.cell), total.events, total.leaves
        if key in sums:
            events += sums[key][0]
            leaves = dict(leaves)
            for unit, count in sums[key][1].items():
                leaves[unit] = leaves.get(unit, 0) + count
        sums[key] = (events, leaves)
    rows = []
    for key in sorted(sums):
        events, leaves = sums[key]
        counts = (events, *leaves.values())
        if max(counts) > _MOST or min(counts) < -_MOST - 1:
            # The database adds 64 bits, and reads more of JSON as a float.
            raise CountOverflowError(f"a count is beyond 64 bits: {counts}")
        if any(counts):
            left = {unit: count for unit, count in leaves.items() if count}
            rows.append((*key, events, json_text(left)))
    return rows


def _key(cell: Cell) -> tuple[Any, ...]:
    return (
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


_ADD = (
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    "events = usage_totals.events + excluded.events, leaves = "
)
"""The database adds, so that nobody reads what others are about to change. It writes leaves as
``json_text`` does: keys in the order of their bytes, no blanks; zeros are left out.
"""

_ADD_SQLITE = (
    f"INSERT INTO usage_totals VALUES ({', '.join('?' for _ in _COLUMNS)}) {_ADD}"
    "(SELECT json_group_object(key, count) FROM (SELECT key, SUM(value) AS count FROM ("
    "SELECT key, value FROM json_each(usage_totals.leaves) UNION ALL "
    "SELECT key, value FROM json_each(excluded.leaves)) "
    "GROUP BY key HAVING SUM(value) <> 0 ORDER BY key))"
)
_VALUES = ", ".join(
    f"(r ->> {place}){'::BIGINT' if isinstance(column.type, Whole) else ''}"
    for place, column in enumerate(_COLUMNS)
)
_ADD_POSTGRESQL = (
    f"INSERT INTO usage_totals SELECT {_VALUES} "
    f"FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS sent (r, place) ORDER BY place {_ADD}"
    "(SELECT '{' || COALESCE(string_agg(to_json(key)::TEXT || ':' || count, ',' "
    "ORDER BY key COLLATE \"C\"), '') || '}' "
    "FROM (SELECT key, SUM(value::BIGINT)::BIGINT AS count FROM ("
    "SELECT * FROM jsonb_each_text(usage_totals.leaves::jsonb) UNION ALL "
    "SELECT * FROM jsonb_each_text(excluded.leaves::jsonb)) AS leaf "
    "GROUP BY key) AS leaf WHERE count <> 0)"
)
"""Many rows, as JSON, with one statement and no temporary table."""


def _totals(connection: Connection, *, query: Select[Any]) -> tuple[UsageTotal, ...]:
    """The totals of a query of whole rows, in canonical key order."""
    found = map(_total, connection.execute(query.where(_IS_THERE)))
    return tuple(sorted(found, key=lambda total: CELL_ORDER(total.cell)))


def _total(row: Sequence[Any]) -> UsageTotal:
    # In the order of the table: by name each value costs as much as all the rest.
    account, epoch, start_at, tokens, model, service_tier, region, outcome, *rest = row
    dimensions_text, windows_text, events, leaves_text = rest
    try:
        dimensions = _canonical(dimensions_text, read=read_labels)
        windows = _canonical(windows_text, read=_read_keys)
        leaves = _canonical(leaves_text, read=read_counts)
        if not leaves.keys() <= _LEAVES or not all(leaves.values()):
            raise ValueError(f"no leaves: {leaves}")
    except ValueError as error:
        raise DamagedTotalError(
            f"account {account}, epoch {epoch}, segment from {stored_moment_text(start_at)}, "
            f"{model} in {service_tier}",
            "its total is not written as this program writes it; "
            f"run tokenworks grid rebuild --account {account}",
        ) from error
    cell = Cell(
        account=account,
        epoch=epoch,
        segment_start_at=start_at,
        model=model,
        service_tier=service_tier,
        region=region,
        size_class_tokens=tokens,
        outcome=outcome,
        dimensions=tuple(dimensions.items()),
        windows=windows,
    )
    return UsageTotal(cell=cell, events=events, leaves=leaves)


def _canonical(text: str, *, read: Callable[[str], T]) -> T:
    """What a JSON text says. ValueError where it is not canonical."""
    value = read(text)
    if json_text(value) != text:
        raise ValueError(f"is not canonical: {text:.200}")
    return value
