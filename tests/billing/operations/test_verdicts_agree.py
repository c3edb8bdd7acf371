"""A store and the engine over files say the same of the same deliveries, row by row.

Invariant: what is accepted, a duplicate or a conflict does not depend on how events came in.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.engines.duckdb_totals import usage_totals
from billing.engines.event_source import EventTable
from billing.intake.cloud_events import read_cloud_events
from billing.operations.new_events import new_events
from pricing_rules.usage.totals import Grid
from tests.billing.engines.naive_totals import Raw, event_json
from tests.billing.engines.test_totals_agree import EVENTS
from tests.billing.store.made_rows import ingest, own_store

NONE = {"output_tokens": 0, "cache_read_tokens": 0, "audio_seconds": "0"}


@st.composite
def deliveries(draw: st.DrawFn) -> list[Raw]:
    """Events, some of which come again with counts of zero that they did not have."""
    events = draw(EVENTS)
    again = draw(st.lists(st.sampled_from(events), max_size=3))
    zeros = [{unit: NONE[unit]} for unit in draw(st.lists(st.sampled_from(sorted(NONE))))]
    return draw(
        st.permutations(
            [*events, *({**zero, **one} for zero, one in zip(zeros, again, strict=False))]
        )
    )


@given(events=deliveries())
@settings(max_examples=40)
def test_a_store_and_the_engine_have_the_same_verdicts(made_file: Path, events: list[Raw]) -> None:
    table, refused = read_cloud_events(b"\n".join(map(event_json, events)), name="e.jsonl")
    source = EventTable(table=table, rejected=refused, name="e.jsonl")
    found = usage_totals(source, grid=Grid(), period=None)
    new = new_events(table)
    with own_store(made_file) as store:
        kinds = [verdict.kind for verdict in ingest(store, rows=new)]
    counted = Counter(kinds)
    assert (counted["accepted"], counted["duplicate"], counted["conflict"]) == (
        found.accepted,
        found.duplicate,
        found.conflict,
    )
    rows = table["row"].to_pylist()
    conflicts = {row for row, kind in zip(rows, kinds, strict=True) if kind == "conflict"}
    said = {verdict.row for verdict in found.verdicts} - {verdict.row for verdict in refused}
    assert conflicts == said
    kept: Counter[str] = Counter()
    for event, kind in zip(new, kinds, strict=True):
        if kind == "accepted":
            kept.update(event.units)
    summed: Counter[str] = Counter()
    for total in found.totals:
        summed.update(total.leaves)
    assert kept == summed
