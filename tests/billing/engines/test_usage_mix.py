"""The usage mix tells of the events of the usage totals: same checks, identities and sums."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.engines.duckdb_totals import run_totals
from billing.engines.event_runs import event_run
from billing.engines.event_source import EventFile, EventTable
from billing.engines.usage_mix import Mixed, run_mix
from billing.intake.assignment import Assignment
from billing.intake.azure_trace import read_azure_trace
from billing.intake.cloud_events import read_cloud_events
from billing.intake.mooncake_trace import read_mooncake_trace
from pricing_rules.document import DocumentError, load_json
from pricing_rules.period import Period, parse_moment
from pricing_rules.usage.event import UsageEvent
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Grid
from tests.billing.engines.naive_totals import Raw, event_json, write_csv, write_parquet
from tests.billing.engines.test_totals_agree import EVENTS, OCTOBER

MONDAY = "2026-10-05T00:00:00Z"


def table_of(events: list[Raw]) -> EventTable:
    table, refused = read_cloud_events(b"\n".join(map(event_json, events)), name="events.jsonl")
    return EventTable(table=table, rejected=refused, name="events.jsonl")


def mixed(*sources: EventTable | EventFile, period: Period | None = None) -> Mixed:
    with event_run(sources) as run:
        return run_mix(run, period=period)


def raw(number: int, **changed: object) -> Raw:
    return {
        "id": f"e{number}",
        "source": "gw",
        "account": "acme",
        "time": MONDAY,
        "model": "m",
        "service_tier": "standard",
        "input_tokens": 1000,
        **changed,
    }


def test_an_entry_tells_of_leaves_shapes_and_hours() -> None:
    found = mixed(
        table_of(
            [
                raw(1, cache_read_tokens=400, output_tokens=100),
                raw(2, input_tokens=1023, output_tokens=127, time="2026-10-05T00:59:59.999999Z"),
                raw(3, input_tokens=1024, output_tokens=127, time="2026-10-11T23:00:00Z"),
                raw(4, input_tokens=0, web_searches=2, time="1970-01-01T00:00:00Z"),
            ]
        )
    )
    (entry,) = found.entries
    assert entry.key == ("acme", "m", "standard")
    # 1,000 and 1,023 lie in 512 to 1,023, with 64 to 127 out; 1,024 in the next class.
    assert [
        (one.events, one.input_tokens, one.cache_read_tokens, one.output_tokens)
        for one in entry.shapes
    ] == [(1, 0, 0, 0), (2, 2023, 400, 227), (1, 1024, 0, 127)]
    assert entry.leaves == {
        "cache_read_tokens": 400,
        "input_tokens": 2647,  # 600 + 1,023 + 1,024
        "output_tokens": 354,
        "web_searches": 2,
    }
    # Monday 00:00 is hour 0, Sunday 23:00 hour 167; 1970-01-01 was a Thursday: hour 72.
    hours = {hour: n for hour, n in enumerate(entry.events_by_hour_of_week) if n}
    assert hours == {0: 2, 72: 1, 167: 1}
    assert (found.first_at, found.last_at) == (0, parse_moment("2026-10-11T23:00:00Z"))


def test_failed_requests_are_in_no_entry() -> None:
    events = [raw(n, outcome=o) for n, o in enumerate(("completed", "cancelled", "failed"))]
    found = mixed(table_of(events))
    assert (found.accepted, found.not_billable) == (3, 1)
    assert [entry.events for entry in found.entries] == [2]
    nothing = mixed(table_of(events[2:]))
    assert (nothing.entries, nothing.first_at, nothing.last_at) == ((), None, None)


def test_refused_rows_have_their_verdicts() -> None:
    found = mixed(table_of([raw(1), raw(1), raw(1, input_tokens=7), raw(2, input_tokens=-1)]))
    counts = (found.received, found.accepted, found.duplicate, found.conflict, found.rejected)
    assert counts == (4, 1, 1, 1, 1)
    assert [verdict.row for verdict in found.verdicts] == [3, 4]


@settings(max_examples=settings().max_examples // 16)
@given(events=EVENTS, split=st.integers(0, 8), period=st.sampled_from([None, OCTOBER]))
def test_the_sums_of_a_mix_are_those_of_the_totals(
    events: list[Raw], split: int, period: Period | None
) -> None:
    with TemporaryDirectory() as folder:
        first, rest = events[: split + 1], events[split + 1 :]
        sources: list[EventTable | EventFile] = [table_of(first)]
        for kind, write in (("csv", write_csv), ("parquet", write_parquet)):
            file = EventFile(path=Path(folder, f"events.{kind}"), kind=kind)  # type: ignore[arg-type]
            write(rest or first, path=file.path)
            sources.append(file)
        with event_run(sources) as run:
            totals = run_totals(run, grid=Grid(), period=period)
        found = mixed(*sources, period=period)
    leaves: dict[tuple[str, str, str], Counter[str]] = {}
    counted: Counter[tuple[str, str, str]] = Counter()
    for total in totals.totals:
        if BILLABLE_OUTCOMES[total.cell.outcome]:
            key = (total.cell.account, total.cell.model, total.cell.service_tier)
            leaves.setdefault(key, Counter()).update(total.leaves)
            counted[key] += total.events
    assert {entry.key: entry.events for entry in found.entries} == counted
    assert {entry.key: entry.leaves for entry in found.entries} == leaves
    for name in ("received", "accepted", "duplicate", "conflict", "rejected", "outside_period"):
        assert getattr(found, name) == getattr(totals, name)
    assert found.verdicts == totals.verdicts
    assert found.not_billable == sum(
        t.events for t in totals.totals if not BILLABLE_OUTCOMES[t.cell.outcome]
    )


def _hour(event: UsageEvent) -> int:
    assert event.time is not None
    return (event.time // 3_600_000_000 + 72) % 168


@settings(max_examples=settings().max_examples // 16)
@given(events=EVENTS)
def test_hours_and_size_classes_are_those_of_plain_python(events: list[Raw]) -> None:
    # One event for each identity, so that none is a duplicate.
    first = {(event["source"], event["id"]): event for event in events}
    read = []
    for event in first.values():
        try:
            read.append(load_json(UsageEvent, event_json(event), name="event"))
        except DocumentError:
            continue
    billable = [event for event in read if BILLABLE_OUTCOMES[event.data.outcome]]
    found = mixed(table_of(list(first.values())))
    hours: Counter[int] = Counter(map(_hour, billable))
    classes: Counter[tuple[int, int]] = Counter(
        (
            event.data.units.get("input_tokens", 0).bit_length(),
            event.data.units.get("output_tokens", 0).bit_length(),
        )
        for event in billable
    )
    told_hours: Counter[int] = Counter()
    told_classes: Counter[tuple[int, int]] = Counter()
    for entry in found.entries:
        told_hours.update({h: n for h, n in enumerate(entry.events_by_hour_of_week) if n})
        for shape in entry.shapes:
            told_classes[shape.size_class] += shape.events
    assert told_hours == hours
    assert told_classes == classes


ASSIGNMENT = Assignment(
    accounts=(("acme", 3), ("globex", 1)), models=(("m", 1),), service_tiers=(("standard", 1),)
)


def test_no_token_of_the_azure_traces_is_lost(shared_data: Path) -> None:
    sources = []
    for name in ("AzureLLMInferenceTrace_code_2023.csv", "AzureLLMInferenceTrace_conv_2023.csv"):
        table, refused = read_azure_trace(
            (shared_data / name).read_bytes(),
            name=name,
            starting_at=parse_moment(MONDAY),
            assignment=ASSIGNMENT,
        )
        sources.append(EventTable(table=table, rejected=refused, name=name))
    found = mixed(*sources)
    # The README of the data: 8,819 and 19,366 requests.
    assert sum(entry.events for entry in found.entries) == 8_819 + 19_366
    shapes = [shape for entry in found.entries for shape in entry.shapes]
    assert sum(shape.input_tokens for shape in shapes) == 18_059_974 + 22_361_870
    assert sum(shape.output_tokens for shape in shapes) == 245_896 + 4_088_665
    assert sum(sum(entry.events_by_hour_of_week[:1]) for entry in found.entries) == 28_185


def test_the_cached_tokens_of_the_mooncake_trace_are_kept(shared_data: Path) -> None:
    name = "mooncake_conversation_trace.jsonl"
    table, refused = read_mooncake_trace(
        (shared_data / name).read_bytes(),
        name=name,
        starting_at=parse_moment(MONDAY),
        assignment=ASSIGNMENT,
    )
    found = mixed(EventTable(table=table, rejected=refused, name=name))
    shapes = [shape for entry in found.entries for shape in entry.shapes]
    sums = [
        sum(getattr(shape, unit) for shape in shapes)
        for unit in ("input_tokens", "cache_read_tokens", "output_tokens")
    ]
    assert sums == [144_793_823, 54_098_411, 4_122_048]
    assert {entry.account for entry in found.entries} == {"acme", "globex"}


@pytest.mark.parametrize("tokens, size_class", [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3)])
def test_size_classes_start_at_powers_of_two(tokens: int, size_class: int) -> None:
    (entry,) = mixed(table_of([raw(1, input_tokens=tokens, output_tokens=tokens)])).entries
    assert [shape.size_class for shape in entry.shapes] == [(size_class, size_class)]
