"""Recurring windows in the engine: at each boundary, over a year, and where rows are no events."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.engines.duckdb_totals import Totals, usage_totals
from billing.engines.event_source import EventFile
from pricing_rules.document import load_json
from pricing_rules.period import CalendarCut, Period, moment_text, parse_moment
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import NamedWindow, Window, WindowClock

NIGHT = NamedWindow(
    name="night",
    window=load_json(
        Window,
        b'{"zone":"Europe/Berlin","times":[{"start_time":"22:00","end_time":"06:00"}]}',
        name="window",
    ),
)
YEAR = Period(
    start_at=parse_moment("2026-01-01T00:00:00Z"), end_at=parse_moment("2027-01-01T00:00:00Z")
)


def csv_totals(folder: Path, *times: str, grid: Grid, period: Period | None = None) -> Totals:
    """The totals of one event at each time, a row for each."""
    rows = ["id,source,account,time,model,service_tier,input_tokens"]
    rows += [f"{n},gw,acme,{time},m,standard,1" for n, time in enumerate(times)]
    path = folder / "events.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return usage_totals(EventFile(path=path, kind="csv"), grid=grid, period=period)


def by_windows(totals: Totals) -> dict[tuple[str, ...], int]:
    return {total.cell.windows: total.events for total in totals.totals}


@pytest.mark.parametrize("period", [None, YEAR])
def test_every_boundary_of_a_year_is_met_below_at_and_above(
    tmp_path: Path, period: Period | None
) -> None:
    clock = WindowClock(windows=(NIGHT,))
    bounds = [span.period.start_at for span in clock.spans(YEAR)[1:]]
    assert len(bounds) == 730  # a start and an end on each day
    moments = [at + d for at in bounds for d in (-1, 0, 1)]
    found = csv_totals(
        tmp_path, *map(moment_text, moments), grid=Grid(windows=(NIGHT,)), period=period
    )
    # Of the three around a start two are inside, of those around an end one.
    assert by_windows(found) == {(): 3 * 365, (NIGHT.key,): 3 * 365}
    assert sum(clock.keys_at(at) != () for at in moments) == 3 * 365


def test_rows_that_are_no_events_and_a_file_of_none_have_no_windows(tmp_path: Path) -> None:
    grid = Grid(windows=(NIGHT,), calendar_cuts=(CalendarCut(every="day", zone="UTC"),))
    found = csv_totals(tmp_path, "yesterday", "2026-10-01T23:00:00Z", "", grid=grid)
    assert by_windows(found) == {(NIGHT.key,): 1}
    assert found.totals[0].cell.segment_start_at == parse_moment("2026-10-01T00:00:00Z")
    assert found.rejected == 2
    assert csv_totals(tmp_path, "yesterday", grid=grid).totals == ()
    assert csv_totals(tmp_path, grid=grid).totals == ()


def test_events_of_distant_years_have_their_windows(tmp_path: Path) -> None:
    times = ("1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z", "2026-06-01T12:00:00Z")
    found = csv_totals(tmp_path, *times, grid=Grid(windows=(NIGHT,)))
    assert by_windows(found) == {(): 1, (NIGHT.key,): 2}
