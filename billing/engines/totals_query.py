"""The canonical totals query: usage totals in plain SQL over a relation ``events``.

``events`` has the canonical columns of ``pricing_rules.usage.event_columns`` under their own names,
and ``faulty``, true where a row is no event. Everything here is CASE, SUM, COUNT, GROUP BY, joins,
two window functions and SHA256, so that another engine runs the same text in its own dialect.

Where the grid has recurring windows, a relation ``window_spans`` says when they are in force:
``start_at`` and ``end_at`` (half-open, in microseconds UTC), ``windows`` (their keys as a JSON
list) and ``day_at``, the start of a UTC day that the span touches, a row for each. The span of an
event is then found among the few of its day, which a join on equality brings: over a year of two
windows this costs a tenth of what comparing each event with each span does.

Invariant: only integers are added, nothing is divided, and the answer does not depend on the order
of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pricing_rules.period import Period
from pricing_rules.usage.event_columns import (
    DIMENSION_PREFIX,
    MOMENT_PART,
    content_columns,
    dimensions_among,
    units_among,
)
from pricing_rules.usage.totals import Grid
from pricing_rules.usage.units import UNITS, strict_descendants
from pricing_rules.windows import DAY

REPEATED_SQL = """
SELECT source, id
FROM raw_events
WHERE source IS NOT NULL AND id IS NOT NULL
GROUP BY source, id
HAVING COUNT(*) > 1
"""
"""Identities that more than one row bears, rows that are no event among them."""


def sql_names(columns: Iterable[str]) -> dict[str, str]:
    """The quoted name in SQL of each canonical column, in the order given.

    A dimension goes by its place in the alphabet: SQL would take ``Team`` and ``team`` for one.
    """
    given = list(columns)
    names = {name: f'"{name}"' for name in given}
    for place, dimension in enumerate(dimensions_among(given)):
        names[DIMENSION_PREFIX + dimension] = f'"dimension {place}"'
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsQuery:
    """The query for events with these columns, cut by this grid; period None is all time.

    The days and months of the grid are instants of it here (``Grid.over``).
    """

    columns: tuple[str, ...]
    grid: Grid
    period: Period | None

    @property
    def units(self) -> tuple[str, ...]:
        """The units that have a leaf column in the answer, in registry order."""
        return units_among(self.columns)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The declared dimensions that occur."""
        occurring = dimensions_among(self.columns)
        return tuple(name for name in self.grid.dimensions if name in occurring)

    def repeats_sql(self) -> str:
        """``row, standing, kept_row`` of every row of ``repeated`` that is not the one kept.

        Of the contents that one identity came with, the first by (moment, digest of the content) is
        kept, as a store keeps it: its other rows are ``duplicate``, and the rows of other contents
        are ``conflict``.
        """
        return f"""
WITH {self._leaves_ctes()},
candidates AS (
  SELECT leaves."row", leaves.source, leaves.id, leaves.occurred_at,
    {self._content()} AS content
  FROM leaves
  JOIN repeated ON leaves.source = repeated.source AND leaves.id = repeated.id
  WHERE NOT ({self._rejected()})
),
ranked AS (
  SELECT "row",
    DENSE_RANK() OVER (PARTITION BY source, id ORDER BY occurred_at, content) AS content_rank,
    ROW_NUMBER() OVER (PARTITION BY source, id ORDER BY occurred_at, content, "row") AS copy_number,
    FIRST_VALUE("row") OVER (
      PARTITION BY source, id ORDER BY occurred_at, content, "row"
    ) AS kept_row
  FROM candidates
)
SELECT "row", kept_row,
  CASE WHEN content_rank > 1 THEN 'conflict' ELSE 'duplicate' END AS standing
FROM ranked
WHERE copy_number > 1
"""

    def totals_sql(self) -> str:
        """``standing``, the fields of the cell, ``events`` and the sum of each leaf.

        One row for each cell of the rows that are ``counted``, and one, without a cell, for each
        other standing: rejected, duplicate, conflict, outside_period.
        """
        cell = [*_CELL, *self._windows_sql(), *self._dimensions_sql()]
        fields = _lines(
            f"CASE WHEN standing = 'counted' THEN {name} END AS {name}" for name in cell
        )
        leaves = [_quoted(f"{unit} leaf") for unit in self.units]
        sums = "".join(f",\n  SUM({leaf}) AS {leaf}" for leaf in leaves)
        kept = "".join(f",\n    {leaf}" for leaf in leaves)
        return f"""
WITH {self.placed_ctes()},
cells AS (
  SELECT standing,
    {fields}{kept}
  FROM placed
)
SELECT standing, {", ".join(cell)},
  COUNT(*) AS events{sums}
FROM cells
GROUP BY standing, {", ".join(cell)}
"""

    def rejected_sql(self) -> str:
        """``row`` of every row that is no event or has a negative leaf."""
        return f"""
WITH {self.placed_ctes()}
SELECT "row" FROM placed WHERE standing = 'rejected'
"""

    def placed_ctes(self) -> str:
        """``placed``: every row with its standing, its moment, its segment, its size class and its
        leaves.
        """
        outside = "FALSE"
        if self.period:
            start_at, end_at = self.period.start_at, self.period.end_at
            outside = f"occurred_at < {start_at} OR occurred_at >= {end_at}"
        kept = [*self._windows_sql(), *self._dimensions_sql()]
        dimensions = "".join(f",\n    {name}" for name in kept)
        leaves = "".join(f",\n    {_quoted(f'{unit} leaf')}" for unit in self.units)
        in_force = _IN_FORCE if self.grid.windows else ""
        return f"""{self._leaves_ctes()},
placed AS (
  SELECT leaves."row", leaves.occurred_at, account, model, service_tier, region, outcome,
    {lower_bound_sql("occurred_at", cuts=self.grid.instants_at)} AS segment_start_at,
    {lower_bound_sql("request_tokens", cuts=self.grid.thresholds_tokens)} AS size_class_tokens,
    CASE
      WHEN {self._rejected()} THEN 'rejected'
      WHEN repeats.standing IS NOT NULL THEN repeats.standing
      WHEN {outside} THEN 'outside_period'
      ELSE 'counted'
    END AS standing{dimensions}{leaves}
  FROM leaves
  LEFT JOIN repeats ON leaves."row" = repeats."row"{in_force}
)"""

    def _leaves_ctes(self) -> str:
        """``leaves``: events with a leaf for each unit, most specific units first.

        leaf(u) = count(u) - the leaves of the reported units strictly inside u; 0 where u is not
        reported.
        """
        depths = sorted({len(UNITS[unit].dimensions) for unit in self.units}, reverse=True)
        ctes, before = [], "events"
        for depth in depths:
            columns = _lines(
                f"{self._leaf(unit)} AS {_quoted(f'{unit} leaf')}"
                for unit in self.units
                if len(UNITS[unit].dimensions) == depth
            )
            ctes.append(f"leaves_{depth} AS (\n  SELECT *,\n    {columns}\n  FROM {before}\n)")
            before = f"leaves_{depth}"
        return ",\n".join([*ctes, f"leaves AS (SELECT * FROM {before})"])

    def _windows_sql(self) -> list[str]:
        return [_quoted("windows")] if self.grid.windows else []

    def _dimensions_sql(self) -> list[str]:
        names = sql_names(self.columns)
        return [names[DIMENSION_PREFIX + dimension] for dimension in self.dimensions]

    def _leaf(self, unit: str) -> str:
        inside = self._inside(unit)
        if not inside:
            return f"COALESCE({_quoted(unit)}, 0)"
        parts = " + ".join(_quoted(f"{other} leaf") for other in inside)
        return f"CASE WHEN {_quoted(unit)} IS NULL THEN 0 ELSE {_quoted(unit)} - ({parts}) END"

    def _inside(self, unit: str) -> list[str]:
        return [other for other in self.units if other in strict_descendants(unit)]

    def _rejected(self) -> str:
        """Only a unit that contains another reported one can have a negative leaf."""
        negative = [f"{_quoted(f'{unit} leaf')} < 0" for unit in self.units if self._inside(unit)]
        return " OR ".join(["faulty", *negative])

    def _content(self) -> str:
        """The ``content_digest`` of ``pricing_rules.usage.event_columns`` in SQL."""
        names = sql_names(self.columns)
        parts = []
        for name in content_columns(self.columns):
            leaf = name in self.units
            column = f"leaves.{_quoted(f'{name} leaf') if leaf else names[name]}"
            absent = f"{column} = 0" if leaf else f"{column} IS NULL"
            parts.append(f"CASE WHEN {absent} THEN '' ELSE {_part(name, column=column)} END")
        parts.append(_part(MOMENT_PART, column="leaves.occurred_at"))
        return "SHA256(\n      " + "\n      || ".join(parts) + ")"


_CELL = (
    "account",
    "segment_start_at",
    "model",
    "service_tier",
    "region",
    "size_class_tokens",
    "outcome",
)
"""The fields of a cell but its epoch, which is 0 offline, its windows and its dimensions."""

_IN_FORCE = f"""
  LEFT JOIN window_spans ON occurred_at - occurred_at % {DAY} = window_spans.day_at
    AND occurred_at >= window_spans.start_at AND occurred_at < window_spans.end_at"""


def lower_bound_sql(column: str, *, cuts: Sequence[int], below: int = 0) -> str:
    """The last cut at or below a column's value, found by halving; ``below`` under the first."""
    if not cuts:
        return str(below)
    middle = len(cuts) // 2
    upper = lower_bound_sql(column, cuts=cuts[middle + 1 :], below=cuts[middle])
    lower = lower_bound_sql(column, cuts=cuts[:middle], below=below)
    return f"CASE WHEN {column} >= {cuts[middle]} THEN {upper} ELSE {lower} END"


def _lines(parts: Iterable[str]) -> str:
    return ",\n    ".join(parts)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _part(name: str, *, column: str) -> str:
    return f"{_text(name + '=')} || CAST({column} AS VARCHAR) || CHR(31)"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
