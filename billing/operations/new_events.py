"""Events of a table in canonical columns, as the store takes them.

Invariant: the digest of an event is that of its content text, which is of what is stored of it: the
same event has the same digest in whichever way it comes, and ``verify`` computes it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from billing.intake.cloud_events import SentEvent
from billing.store.events import NewEvent
from billing.store.whole import StoredContent
from pricing_rules.usage.event_columns import (
    CONTENT_END,
    DIMENSION_PREFIX,
    MOMENT_PART,
    content_columns,
    content_digest,
    content_text,
    dimensions_among,
    units_among,
)
from pricing_rules.usage.leaves import leaf_plan

_NO_DIMENSIONS: Mapping[str, str] = {}

_FIELDS = (
    "source",
    "id",
    "account",
    "occurred_at",
    "model",
    "service_tier",
    "region",
    "request_tokens",
    "outcome",
)


def new_events(table: pa.Table) -> list[NewEvent]:
    """The rows of a table of checked events, with their leaves.

    ValueError where a unit is less than its parts: intake refuses such a row.
    """
    units, arrays = leaf_columns(table)
    leaves = [one.tolist() for one in arrays]
    dimensions = dimensions_among(table.column_names)
    labels = [table[DIMENSION_PREFIX + name].to_pylist() for name in dimensions]
    rows = zip(
        *(table[name].to_pylist() for name in _FIELDS),
        map(content_digest, _texts(table, leaves=dict(zip(units, arrays, strict=True)))),
        zip(*leaves, strict=True) if leaves else [()] * table.num_rows,
        zip(*labels, strict=True) if labels else [()] * table.num_rows,
        strict=True,
    )
    return [
        NewEvent(
            source=source,
            id=event_id,
            payload_digest=digest,
            account=account,
            occurred_at=occurred_at,
            model=model,
            service_tier=service_tier,
            region=region,
            request_tokens=request_tokens,
            outcome=outcome,
            dimensions=_present(dimensions, labels=has) if has else _NO_DIMENSIONS,
            units={unit: count for unit, count in zip(units, counts, strict=True) if count},
        )
        for (
            source,
            event_id,
            account,
            occurred_at,
            model,
            service_tier,
            region,
            request_tokens,
            outcome,
            digest,
            counts,
            has,
        ) in rows
    ]


def sent_event(sent: SentEvent, *, received_at: int) -> NewEvent:
    """One checked event; where it states no moment, it happened at ``received_at``.

    The digest of such an event is of its content alone, so that it is the same whenever it is sent
    again, and never that of an event that states its moment.
    """
    fixed, _, dimensions, leaves = sent
    event_id, source, account, occurred_at, model, service_tier, region, size, outcome = fixed
    text = content_text(
        account=account,
        model=model,
        service_tier=service_tier,
        region=region,
        request_tokens=size,
        outcome=outcome,
        leaves=leaves,
        dimensions=dimensions,
        stated_at=occurred_at,
    )
    return NewEvent(
        source=source,
        id=event_id,
        payload_digest=content_digest(text),
        account=account,
        occurred_at=received_at if occurred_at is None else occurred_at,
        timed_by="receipt" if occurred_at is None else "event",
        model=model,
        service_tier=service_tier,
        region=region,
        request_tokens=size,
        outcome=outcome,
        dimensions=dimensions or _NO_DIMENSIONS,
        units=leaves,
    )


def stored_digest(stored: StoredContent) -> str:
    """The ``payload_digest`` that an event had when it came in, computed from what is stored of it.

    One that stated no moment happened when it came in; where that is not so any more, it is taken
    to have stated one.
    """
    untimed = stored.timed_by == "receipt" and stored.occurred_at == stored.received_at
    text = content_text(
        account=stored.account,
        model=stored.model,
        service_tier=stored.service_tier,
        region=stored.region,
        request_tokens=stored.request_tokens,
        outcome=stored.outcome,
        leaves=stored.units,
        dimensions=stored.dimensions,
        stated_at=None if untimed else stored.occurred_at,
    )
    return content_digest(text)


def _present(names: Sequence[str], *, labels: Sequence[str | None]) -> dict[str, str]:
    return {name: label for name, label in zip(names, labels, strict=True) if label is not None}


def leaf_columns(table: pa.Table) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The units that have a column, and the leaves of each: ``split_leaves``, column by column.

    A unit that a row does not report has no leaf there, which is 0 here.
    """
    units = units_among(table.column_names)
    leaves: dict[str, np.ndarray] = {}
    for unit, inside in leaf_plan(units):
        counts = table[unit]
        left = pc.fill_null(counts, 0).to_numpy()
        for other in inside:
            left = left - leaves[other]
        leaves[unit] = np.where(counts.is_null().to_numpy(), 0, left)
        if leaves[unit].min(initial=0) < 0:
            raise ValueError(f"a row in which {unit} is less than what it contains was let in")
    return units, [leaves[unit] for unit in units]


def _texts(table: pa.Table, *, leaves: Mapping[str, np.ndarray]) -> list[str]:
    """``content_text`` of each event, column by column."""
    end = pa.scalar(CONTENT_END)
    columns = {
        name: pa.array(leaves[name], mask=leaves[name] == 0) if name in leaves else table[name]
        for name in content_columns(table.column_names)
    }
    parts = [
        pc.binary_join_element_wise(pa.scalar(f"{name}="), values.cast(pa.string()), end, "")
        for name, values in (*columns.items(), (MOMENT_PART, table["occurred_at"]))
    ]
    texts = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
    found: list[str] = texts.to_pylist()
    return found
