"""How far a store has come: the last number of each kind of fact that is never removed.

Invariant: a number only grows, and the row that has it stays as it is, in every later state of a
store; in an older copy the number is lower, and where that was written to since, the row differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Table, func, select

from billing.store.tables import AUDIT, EPOCHS, EVENTS, INVOICES
from pricing_rules.document import content_digest

NumberedFact = Literal["audit", "epochs", "events", "numbers"]
"""What is numbered: rows of the audit, sealed epochs, events, and invoices of a series."""

# Columns that every later version of the tables has, too, so that a digest holds across upgrades.
_NUMBERED: Mapping[NumberedFact, tuple[Table, str, tuple[str, ...]]] = {
    "audit": (AUDIT, "seq", ("command", "subject", "by", "detail", "recorded_at")),
    "epochs": (EPOCHS, "epoch", ("sealed_at",)),
    "events": (EVENTS, "seq", ("owner", "source", "id", "account", "occurred_at", "received_at")),
    "numbers": (INVOICES, "number", ("account", "digest", "finalized_at")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRow:
    """The row with the highest number; ``issuer`` and ``series`` are "" but of an invoice."""

    of: NumberedFact
    issuer: str
    series: str
    number: int
    digest: str


def last_rows(connection: Connection) -> tuple[LastRow, ...]:
    """The last row of each kind, of invoices the last one of each series; without those of which
    there is none.
    """
    found: list[LastRow] = []
    for of, (table, number, _) in _NUMBERED.items():
        series = [table.c[name] for name in ("issuer", "series") if name in table.c]
        query = select(func.max(table.c[number]), *series).group_by(*series).order_by(*series)
        for last, *names in connection.execute(query):
            issuer, name = names or ("", "")
            row = read_row(connection, of=of, issuer=issuer, series=name, number=last or 0)
            found += () if row is None else (row,)
    return tuple(found)


def read_row(
    connection: Connection, *, of: NumberedFact, issuer: str, series: str, number: int
) -> LastRow | None:
    """The row of a kind that has a number; None where none has it."""
    table, column, content = _NUMBERED[of]
    query = select(*(table.c[name] for name in content)).where(table.c[column] == number)
    if of == "numbers":
        query = query.where(table.c.issuer == issuer, table.c.series == series)
    row = connection.execute(query).first()
    if row is None:
        return None
    digest = content_digest(list(row))
    return LastRow(of=of, issuer=issuer, series=series, number=number, digest=digest)
