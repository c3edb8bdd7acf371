"""Events as the store takes them: leaves, and a digest that no file format changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.intake.cloud_events import read_cloud_events
from billing.operations.new_events import new_events, sent_event
from pricing_rules.usage.event_columns import (
    FIXED_COLUMNS,
    content_digest,
    content_text,
    units_among,
)
from pricing_rules.usage.leaves import split_leaves
from tests.billing.engines.naive_totals import Raw, event_json
from tests.billing.engines.test_totals_agree import EVENT


@given(events=st.lists(EVENT, min_size=1, max_size=10))
def test_digests_and_leaves_are_those_of_one_event_after_another(events: list[Raw]) -> None:
    table, _ = read_cloud_events(b"\n".join(map(event_json, events)), name="events.jsonl")
    rows = table.to_pylist()
    for row, event in zip(rows, new_events(table), strict=True):
        counts = {unit: row[unit] for unit in units_among(row) if row[unit] is not None}
        assert event.units == split_leaves(counts)
        labels = {
            name.removeprefix("dimensions."): value
            for name, value in row.items()
            if name.startswith("dimensions.") and value is not None
        }
        assert event.dimensions == labels
        text = content_text(
            account=event.account,
            model=event.model,
            service_tier=event.service_tier,
            region=event.region,
            request_tokens=event.request_tokens,
            outcome=event.outcome,
            leaves=event.units,
            dimensions=event.dimensions,
            stated_at=event.occurred_at,
        )
        assert event.payload_digest == content_digest(text)
        assert (event.account, event.request_tokens) == (row["account"], row["request_tokens"])
        _, *fixed = (row[name] for name in FIXED_COLUMNS)
        sent = (tuple(fixed), counts, labels, split_leaves(counts))
        assert sent_event(sent, received_at=0) == event


def test_a_row_with_a_negative_leaf_is_a_bug_of_intake() -> None:
    line = event_json(
        {
            "id": "e",
            "source": "gw",
            "account": "a",
            "time": "2026-10-01T00:00:00Z",
            "model": "m",
            "service_tier": "standard",
            "input_tokens": 10,
            "cache_read_tokens": 4,
        }
    )
    table, _ = read_cloud_events(line, name="events.jsonl")
    at = table.column_names.index("cache_read_tokens")
    more = table.set_column(at, "cache_read_tokens", [[11]])
    with pytest.raises(ValueError, match="input_tokens is less than what it contains"):
        new_events(more)
