"""Usage totals in plain Python, one event after another: what every engine must agree with.

Invariant: nothing here is shared with an engine but the definitions of pricing_rules.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pricing_rules.document import DocumentError, canonical_json, load_json
from pricing_rules.period import Period
from pricing_rules.usage.event import UsageEvent
from pricing_rules.usage.event_columns import content_digest, content_text
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.totals import Cell, Grid, UsageTotal, add_totals

Raw = Mapping[str, Any]
"""An event as its cells: the columns of a file by name; absent ones are left out."""

ENVELOPE = ("id", "source", "account", "time")
SERVED = ("model", "service_tier", "region", "request_tokens", "outcome")


def event_json(raw: Raw) -> bytes:
    """The event as one CloudEvents line."""
    data: dict[str, Any] = {name: raw[name] for name in SERVED if name in raw}
    others = [name for name in raw if name not in (*ENVELOPE, *SERVED)]
    data["units"] = {name: raw[name] for name in others if not name.startswith("dimensions.")}
    data["dimensions"] = {
        name.removeprefix("dimensions."): raw[name] for name in others if name.startswith("dim")
    }
    return canonical_json(
        {
            "specversion": "1.0",
            "type": "tokenworks.usage.v1",
            "id": raw["id"],
            "source": raw["source"],
            "subject": raw["account"],
            "time": raw["time"],
            "data": data,
        }
    )


def _columns(events: Sequence[Raw]) -> list[str]:
    first = [*ENVELOPE, "model", "service_tier"]
    return first + sorted({name for raw in events for name in raw} - set(first))


def write_csv(events: Sequence[Raw], *, path: Path) -> None:
    """The events as CSV, each cell quoted where it must be."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_columns(events))
    writer.writeheader()
    writer.writerows(events)
    path.write_bytes(text.getvalue().encode())


def write_parquet(events: Sequence[Raw], *, path: Path) -> None:
    """The events as Parquet: counts int64 (text for those in fractions), everything else text."""
    columns = {
        name: pa.array(
            [raw.get(name) for raw in events],
            type=pa.int64() if name.endswith("_tokens") else pa.string(),
        )
        for name in _columns(events)
    }
    pq.write_table(pa.table(columns), path, row_group_size=4)


def naive_totals(events: Sequence[Raw], *, grid: Grid, period: Period | None) -> dict[str, object]:
    """The fields of ``Totals`` by name, without its verdicts."""
    contents: dict[tuple[str, str], list[tuple[int, str, UsageEvent]]] = {}
    counts = dict.fromkeys(("accepted", "duplicate", "conflict", "rejected", "outside_period"), 0)
    for raw in events:
        try:
            event = load_json(UsageEvent, event_json(raw), name="event")
        except DocumentError:
            counts["rejected"] += 1
            continue
        key = (event.source, event.id)
        contents.setdefault(key, []).append((_time_at(event), _content(event), event))
    totals = []
    for deliveries in contents.values():
        time_at, content, event = min(deliveries, key=lambda delivery: delivery[:2])
        same = sum(other[:2] == (time_at, content) for other in deliveries)
        counts["accepted"] += 1
        counts["duplicate"] += same - 1
        counts["conflict"] += len(deliveries) - same
        if period is None or time_at in period:
            totals.append(_total(event, grid=grid))
        else:
            counts["outside_period"] += 1
    return {"totals": add_totals(totals), "received": len(events), **counts}


def _time_at(event: UsageEvent) -> int:
    """The moment of an event, which each event of a file states."""
    assert event.time is not None
    return event.time


def _content(event: UsageEvent) -> str:
    data = event.data
    text = content_text(
        account=event.subject,
        model=data.model,
        service_tier=data.service_tier,
        region=data.region,
        request_tokens=data.size_tokens,
        outcome=data.outcome,
        leaves=split_leaves(data.units),
        dimensions=data.dimensions,
        stated_at=event.time,
    )
    return content_digest(text)


def _total(event: UsageEvent, *, grid: Grid) -> UsageTotal:
    data = event.data
    cell = Cell(
        account=event.subject,
        epoch=0,
        segment_start_at=grid.segment_start_at(_time_at(event)),
        model=data.model,
        service_tier=data.service_tier,
        region=data.region,
        size_class_tokens=grid.size_class_tokens(data.size_tokens),
        outcome=data.outcome,
        dimensions=grid.kept(data.dimensions),
        windows=grid.windows_at(_time_at(event)),
    )
    return UsageTotal(cell=cell, events=1, leaves=split_leaves(data.units))
