"""The same events give the same totals in each format and order, those of plain Python."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.engines import csv_lines, event_runs
from billing.engines.duckdb_totals import Totals, usage_totals
from billing.engines.event_source import EventFile, EventTable
from billing.intake.cloud_events import read_cloud_events
from pricing_rules.document import load_json
from pricing_rules.period import CalendarCut, Period, parse_moment
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import NamedWindow, Window, united_windows
from tests.billing.engines.naive_totals import (
    Raw,
    event_json,
    naive_totals,
    write_csv,
    write_parquet,
)

TIMES = [
    "2026-10-01T00:00:00Z",
    "2026-09-30T23:59:59.999999Z",
    "2026-10-01T02:00:00+02:00",  # the first one, in another zone
    "2026-10-15t12:00:00.1234567-05:30",
    "2026-10-31T23:59:59.999999999Z",
    "2026-11-01T00:00:00z",
    "2026-09-30T20:00:00Z",  # the night starts, and an hour and a half ago a day of Kolkata did
    "2026-09-30T19:59:59.999999Z",
    "2026-10-01T04:00:00Z",  # October starts in New York
    "2026-10-01T03:59:59.999999Z",
]
FEW_TOKENS = st.sampled_from([0, 1, 99, 100, 101, 10**12])
REQUIRED: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["a", "b", "c", "é", 'say "d"', "e,f"]),
    "source": st.sampled_from(["gateway", "gateway/2"]),
    "account": st.sampled_from(["acme", "Acme", "Ångström, Inc"]),
    "time": st.sampled_from(TIMES),
    "model": st.sampled_from(["m", "m:8b"]),
    "service_tier": st.sampled_from(["standard", "batch"]),
    "input_tokens": FEW_TOKENS,
}
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "region": st.sampled_from(["eu", "us"]),
    "request_tokens": FEW_TOKENS,
    "outcome": st.sampled_from(["completed", "cancelled", "failed"]),
    "cache_read_tokens": st.sampled_from([0, 1, 50, 100]),
    "cache_audio_read_tokens": st.sampled_from([0, 1]),
    "output_tokens": FEW_TOKENS,
    "audio_seconds": st.sampled_from(["0", "2.5", "2.500", "1000000000000"]),
    "dimensions.team": st.sampled_from(["red", "it's"]),
    "dimensions.Team": st.sampled_from(["red", "blue"]),
}
EVENT = st.fixed_dictionaries(REQUIRED, optional=OPTIONAL)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Raw]:
    """Events of few identities, so that some conflict, and some of them sent again."""
    events = draw(st.lists(EVENT, min_size=1, max_size=10))
    return events + draw(st.lists(st.sampled_from(events), max_size=4))


EVENTS = deliveries()

OCTOBER = Period(
    start_at=parse_moment("2026-10-01T00:00:00Z"), end_at=parse_moment("2026-11-01T00:00:00Z")
)
FINE = Grid(
    instants_at=(OCTOBER.start_at, parse_moment("2026-10-15T17:30:00.123456Z"), OCTOBER.end_at),
    thresholds_tokens=(100, 101),
    dimensions=("Team", "other", "team"),
)


NIGHT = b'{"zone":"Europe/Berlin","times":[{"start_time":"22:00","end_time":"02:00"}]}'
WEEKEND = (
    b'{"times":[{"weekdays":[3,4],"start_time":"12:00","end_time":"12:00","holidays":"excluded"}],'
    b'"holidays":["2026-10-15"]}'
)
RECURRING = Grid(
    instants_at=(OCTOBER.start_at,),
    dimensions=("team",),
    windows=united_windows(
        NamedWindow(name=name, window=load_json(Window, data, name=name))
        for name, data in (("night", NIGHT), ("it's", WEEKEND))
    ),
    calendar_cuts=(
        CalendarCut(every="day", zone="Asia/Kolkata"),
        CalendarCut(every="month", zone="America/New_York"),
    ),
)


def answers(events: list[Raw], *, grid: Grid, period: Period | None) -> dict[str, Totals]:
    """The totals of the same events by the format that they came in."""
    table, refused = read_cloud_events(b"\n".join(map(event_json, events)), name="events.jsonl")
    found = {
        "json": usage_totals(EventTable(table=table, rejected=refused), grid=grid, period=period)
    }
    with TemporaryDirectory() as folder:
        csv_file = EventFile(path=Path(folder, "events.csv"), kind="csv")
        write_csv(events, path=csv_file.path)
        found["csv"] = usage_totals(csv_file, grid=grid, period=period)
        parquet_file = EventFile(path=Path(folder, "events.parquet"), kind="parquet")
        write_parquet(events, path=parquet_file.path)
        found["parquet"] = usage_totals(parquet_file, grid=grid, period=period)
    return found


def fields(totals: Totals) -> dict[str, object]:
    """Everything but the verdicts, whose rows depend on the order of the file."""
    names = (
        "totals",
        "received",
        "accepted",
        "duplicate",
        "conflict",
        "rejected",
        "outside_period",
    )
    return {name: getattr(totals, name) for name in names}


@settings(max_examples=settings().max_examples // 4)
@given(
    events=EVENTS,
    seed=st.integers(0, 99),
    period=st.sampled_from([None, OCTOBER]),
    grid=st.sampled_from([FINE, RECURRING]),
)
def test_every_format_and_order_gives_the_totals_of_plain_python(
    events: list[Raw], seed: int, period: Period | None, grid: Grid
) -> None:
    wanted = naive_totals(events, grid=grid, period=period)
    shuffled = random.Random(seed).sample(events, len(events))
    for format_name, totals in answers(shuffled, grid=grid, period=period).items():
        assert fields(totals) == wanted, format_name
        assert len(totals.verdicts) == totals.conflict + totals.rejected


@settings(max_examples=settings().max_examples // 16)
@given(events=EVENTS)
def test_what_is_received_is_accepted_or_has_another_standing(events: list[Raw]) -> None:
    for totals in answers(events, grid=Grid(), period=OCTOBER).values():
        parts = totals.accepted + totals.duplicate + totals.conflict + totals.rejected
        assert totals.received == len(events) == parts
        assert sum(t.events for t in totals.totals) == totals.accepted - totals.outside_period


@settings(max_examples=settings().max_examples // 16)
@given(events=EVENTS)
def test_leaves_of_all_totals_do_not_depend_on_the_cuts(events: list[Raw]) -> None:
    table, _ = read_cloud_events(b"\n".join(map(event_json, events)), name="events.jsonl")
    sums = []
    for grid in (Grid(), FINE, RECURRING):
        found: Counter[str] = Counter()
        for total in usage_totals(EventTable(table=table), grid=grid, period=None).totals:
            found.update(total.leaves)
        sums.append(found)
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_and_blocks_change_neither_totals_nor_row_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    # Every 7th row lacks its account, every 11th is a copy of the one before with another count, of
    # a second later.
    rows = ["id,source,account,time,model,service_tier,input_tokens"]
    for n in range(2, 3_002):
        account = "" if n % 7 == 0 else "acme"
        number, tokens = (n - 1, n) if n % 11 == 0 else (n, 1)
        time = f"2026-10-01T00:00:0{int(n % 11 == 0)}Z"
        rows.append(f"{number},s,{account},{time},m,standard,{tokens}")
    path = tmp_path / "events.csv"
    path.write_text("\n".join(rows))
    monkeypatch.setitem(event_runs.OFFLINE, "threads", threads)
    monkeypatch.setattr(csv_lines, "_BLOCK_BYTES", 1_000)
    totals = usage_totals(EventFile(path=path, kind="csv"), grid=Grid(), period=None)
    # Copies at multiples of 11; their original is refused where n - 1 is a multiple of 7, and then
    # the copy counts. The copy itself is refused where n is a multiple of 7.
    refused = [n for n in range(2, 3_002) if n % 7 == 0]
    conflicts = [n for n in range(2, 3_002) if n % 11 == 0 and n % 7 and (n - 1) % 7]
    assert [verdict.row for verdict in totals.verdicts] == sorted(refused + conflicts)
    assert totals.accepted == 3_000 - len(refused) - len(conflicts)
