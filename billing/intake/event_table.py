"""Events that intake has read, as one Arrow table in the canonical columns.

Invariant: only units and dimensions that occur have a column, so that the same events give the same
table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pricing_rules.usage.event_columns import DIMENSION_PREFIX, FIXED_COLUMNS, event_columns

_ARROW_TYPES = {"int64": pa.int64(), "text": pa.string()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRows:
    """Accepted rows in file order: tuples of the fixed columns, and what else each has."""

    fixed: list[tuple[int | str, ...]] = field(default_factory=list)
    units: list[Mapping[str, int]] = field(default_factory=list)
    dimensions: list[Mapping[str, str]] = field(default_factory=list)

    def table(self) -> pa.Table:
        """The rows as an Arrow table; counts and dimensions that an event lacks are NULL."""
        unit_names: set[str] = set().union(*self.units)
        dimension_names: set[str] = set().union(*self.dimensions)
        schema = pa.schema(
            [
                pa.field(name, _ARROW_TYPES[kind])
                for name, kind in event_columns(unit_names, dimensions=dimension_names).items()
            ]
        )
        fixed = zip(*self.fixed, strict=True) if self.fixed else ((),) * len(FIXED_COLUMNS)
        columns: list[object] = [list(column) for column in fixed]
        for name in schema.names[len(FIXED_COLUMNS) :]:
            if name.startswith(DIMENSION_PREFIX):
                key = name.removeprefix(DIMENSION_PREFIX)
                columns.append([found.get(key) for found in self.dimensions])
            else:
                columns.append([counts.get(name) for counts in self.units])
        arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)
