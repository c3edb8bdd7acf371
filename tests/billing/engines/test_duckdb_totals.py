"""Totals of small sources whose sums can be read off, and verdicts of rows not counted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from billing.engines.duckdb_totals import Totals, usage_totals
from billing.engines.event_source import EventFile, EventTable
from pricing_rules.period import Period, parse_moment
from pricing_rules.usage.event_columns import (
    Verdict,
    content_digest,
    content_text,
    event_columns,
)
from pricing_rules.usage.totals import Cell, Grid

HEADER = "id,source,account,time,model,service_tier,input_tokens,cache_read_tokens,output_tokens"
AT = "2026-10-01T00:00:00Z"


def csv_totals(
    folder: Path, *, lines: list[str], grid: Grid | None = None, period: Period | None = None
) -> Totals:
    """The totals of a CSV file of these lines."""
    path = folder / "events.csv"
    path.write_bytes("\n".join(lines).encode())
    return usage_totals(EventFile(path=path, kind="csv"), grid=grid or Grid(), period=period)


def row(number: int, *, time: str = AT, account: str = "acme", counts: str = "100,40,7") -> str:
    """One line of CSV under ``HEADER``."""
    return f"{number},s,{account},{time},m,standard,{counts}"


def cell(**changed: int | str) -> Cell:
    """The cell of ``row`` in a grid without cuts, with some fields changed."""
    fields: dict[str, object] = {
        "account": "acme",
        "epoch": 0,
        "segment_start_at": 0,
        "model": "m",
        "service_tier": "standard",
        "region": "",
        "size_class_tokens": 0,
        "outcome": "completed",
        "dimensions": (),
    }
    return Cell(**{**fields, **changed})  # type: ignore[arg-type]


def test_events_of_one_cell_are_added_leaf_by_leaf(tmp_path: Path) -> None:
    found = csv_totals(tmp_path, lines=[HEADER, row(1), row(2, counts="50,,3")])
    # input leaf: (100 - 40) + 50 = 110; cached: 40; output: 7 + 3 = 10
    assert [(t.cell, t.events, t.leaves) for t in found.totals] == [
        (cell(), 2, {"input_tokens": 110, "output_tokens": 10, "cache_read_tokens": 40})
    ]


def test_sums_beyond_64_bits_stay_exact(tmp_path: Path) -> None:
    # 10 events of 10^12 in millionths: 10 * 10^18 = 10^19 > 2^63
    lines = ["id,source,account,time,model,service_tier,passthrough_spend"]
    lines += [f"{n},s,acme,{AT},m,standard,1000000000000" for n in range(10)]
    found = csv_totals(tmp_path, lines=lines)
    assert found.totals[0].leaves == {"passthrough_spend": 10**19}


@pytest.mark.parametrize("size, size_class", [(127_999, 0), (128_000, 128_000), (128_001, 128_000)])
def test_a_size_class_starts_at_its_threshold(tmp_path: Path, size: int, size_class: int) -> None:
    lines = [HEADER, row(1, counts=f"{size},,")]
    found = csv_totals(tmp_path, lines=lines, grid=Grid(thresholds_tokens=(128_000, 200_000)))
    assert found.totals[0].cell == cell(size_class_tokens=size_class)


@pytest.mark.parametrize(
    "time, is_cut",
    [
        ("2026-09-30T23:59:59.999999999Z", False),
        ("2026-10-01T00:00:00Z", True),
        ("2026-10-01T00:00:00.000001Z", True),
    ],
)
def test_a_segment_starts_at_its_instant(tmp_path: Path, time: str, is_cut: bool) -> None:
    grid = Grid(instants_at=(parse_moment(AT),))
    found = csv_totals(tmp_path, lines=[HEADER, row(1, time=time)], grid=grid)
    assert found.totals[0].cell == cell(segment_start_at=parse_moment(AT) if is_cut else 0)


@pytest.mark.parametrize(
    "time, outside",
    [
        ("2026-09-30T23:59:59.999999Z", 1),
        ("2026-10-01T00:00:00Z", 0),
        ("2026-10-31T23:59:59.999999Z", 0),
        ("2026-11-01T00:00:00Z", 1),
    ],
)
def test_a_period_is_half_open(tmp_path: Path, time: str, outside: int) -> None:
    october = Period(start_at=parse_moment(AT), end_at=parse_moment("2026-11-01T00:00:00Z"))
    found = csv_totals(tmp_path, lines=[HEADER, row(1, time=time)], period=october)
    assert (found.accepted, found.outside_period, len(found.totals)) == (1, outside, 1 - outside)


def test_a_hundred_cuts_are_each_found(tmp_path: Path) -> None:
    first_at = parse_moment(AT)
    instants = tuple(first_at + day * 86_400_000_000 for day in range(100))
    lines = [HEADER, *(row(n, time=f"2026-10-{n:02d}T12:00:00Z") for n in range(1, 32))]
    found = csv_totals(tmp_path, lines=lines, grid=Grid(instants_at=instants))
    assert [t.cell.segment_start_at for t in found.totals] == list(instants[:31])


def test_only_declared_dimensions_cut(tmp_path: Path) -> None:
    lines = ["id,source,account,time,model,service_tier,dimensions.team,dimensions.Team"]
    lines += [f"1,s,acme,{AT},m,standard,red,x", f"2,s,acme,{AT},m,standard,red,y"]
    lines += [f"3,s,acme,{AT},m,standard,,y"]
    found = csv_totals(tmp_path, lines=lines, grid=Grid(dimensions=("none", "team")))
    assert [(t.cell.dimensions, t.events) for t in found.totals] == [
        ((), 1),
        ((("team", "red"),), 2),
    ]


def test_the_same_content_again_counts_once(tmp_path: Path) -> None:
    zoned = "2026-10-01T02:00:00.0000009+02:00"  # the same moment, written otherwise
    found = csv_totals(tmp_path, lines=[HEADER, row(1), row(1), row(1, time=zoned)])
    assert (found.received, found.accepted, found.duplicate, found.conflict) == (3, 1, 2, 0)
    assert found.totals[0].events == 1
    assert found.verdicts == ()


def test_other_content_is_a_conflict_and_the_earliest_event_counts(tmp_path: Path) -> None:
    later = "2026-10-01T00:00:01Z"
    lines = [HEADER, row(1, time=later), row(1, account="other", time=later), row(1)]
    found = csv_totals(tmp_path, lines=lines)
    assert (found.accepted, found.duplicate, found.conflict) == (1, 0, 2)
    assert [t.cell for t in found.totals] == [cell()]
    sentence = 'the event "1" of "s" has other content here than in row 4, which is kept'
    assert found.verdicts == tuple(
        Verdict(row=number, reason=f"row {number} {sentence}") for number in (2, 3)
    )


def _digest(account: str) -> str:
    """That of the content of ``row`` for an account: 60 fresh, 40 from the cache, 7 out."""
    text = content_text(
        account=account,
        model="m",
        service_tier="standard",
        region="",
        request_tokens=100,
        outcome="completed",
        leaves={"input_tokens": 60, "cache_read_tokens": 40, "output_tokens": 7},
        dimensions={},
        stated_at=parse_moment(AT),
    )
    return content_digest(text)


def test_of_two_contents_at_one_moment_the_first_by_digest_counts(tmp_path: Path) -> None:
    first, second = sorted(["a", "b"], key=_digest)
    lines = [HEADER, row(1, account=second), row(1, account=first), row(1, account=second)]
    found = csv_totals(tmp_path, lines=lines)
    assert [t.cell.account for t in found.totals] == [first]
    assert (found.duplicate, [v.row for v in found.verdicts]) == (0, [2, 4])


def test_a_count_of_zero_and_one_that_is_absent_are_duplicates(tmp_path: Path) -> None:
    # They bill the same: 100 in, of which none came from the cache, and none out.
    lines = [HEADER, row(1, counts="100,0,"), row(1, counts="100,,0"), row(1, counts="100,0,1")]
    found = csv_totals(tmp_path, lines=lines)
    assert (found.accepted, found.duplicate + found.conflict) == (1, 2)
    two = csv_totals(tmp_path, lines=lines[:3])
    assert (two.accepted, two.duplicate, two.conflict) == (1, 1, 0)


def test_a_rejected_row_takes_no_part_in_identity(tmp_path: Path) -> None:
    found = csv_totals(tmp_path, lines=[HEADER, row(1, counts="1,2,"), row(1), row(1)])
    assert (found.accepted, found.duplicate, found.conflict, found.rejected) == (1, 1, 0, 1)
    assert found.verdicts[0].reason == (
        "row 2 input_tokens (1) is less than what it contains (cache_read_tokens: 2 together)"
    )


def test_each_malformed_line_has_its_number_and_the_others_count(tmp_path: Path) -> None:
    lines = [HEADER, row(1), "", "1,2", row(2) + ",", 'a"b' + row(3), row(4, time="2026-10-01")]
    path = tmp_path / "events.csv"
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n\xff" + row(5).encode() + b"\r\n")
    found = usage_totals(EventFile(path=path, kind="csv"), grid=Grid(), period=None)
    assert [v.reason for v in found.verdicts] == [
        "row 3 is blank; remove it",
        "row 4 has 2 cells where the header has 9",
        "row 5 has 10 cells where the header has 9",
        "row 6 has a quote that does not enclose a whole cell",
        'row 7 time: must be a moment such as "2026-10-01T00:00:00Z" (the offset is missing), '
        'not "2026-10-01"',
        "row 8 is not UTF-8; save the file as UTF-8",
    ]
    assert (found.received, found.accepted, found.rejected) == (7, 1, 6)


def test_a_cell_that_opens_a_quote_and_never_closes_it_costs_one_row(tmp_path: Path) -> None:
    found = csv_totals(tmp_path, lines=[HEADER, '"' + row(1), row(2)])
    assert (found.accepted, found.rejected) == (1, 1)


def test_quoted_cells_are_read_as_their_text(tmp_path: Path) -> None:
    line = f'"1","s","a ""b"", c","{AT}","m",standard,"5","",""'
    found = csv_totals(tmp_path, lines=[HEADER, line])
    assert found.totals[0].cell.account == 'a "b", c'
    assert found.totals[0].leaves == {"input_tokens": 5}


def test_a_file_of_a_header_alone_has_no_totals(tmp_path: Path) -> None:
    found = csv_totals(tmp_path, lines=[HEADER])
    assert (found.totals, found.received, found.verdicts) == ((), 0, ())


def canonical_table(*, cached: int) -> pa.Table:
    """One event in canonical columns."""
    kinds = event_columns({"input_tokens", "cache_read_tokens"}, dimensions=())
    values = [3, "1", "s", "acme", 0, "m", "standard", "", 10, "completed", 10, cached]
    types = [pa.int64() if kind == "int64" else pa.string() for kind in kinds.values()]
    columns = [pa.array([v], type=t) for v, t in zip(values, types, strict=True)]
    return pa.table(dict(zip(kinds, columns, strict=True)))


def test_rows_that_intake_refused_are_received_and_rejected() -> None:
    source = EventTable(
        table=canonical_table(cached=4), rejected=(Verdict(row=1, reason="line 1: is blank"),)
    )
    found = usage_totals(source, grid=Grid(), period=None)
    assert (found.received, found.accepted, found.rejected) == (2, 1, 1)
    assert found.totals[0].leaves == {"input_tokens": 6, "cache_read_tokens": 4}
    assert found.verdicts == source.rejected


def test_a_negative_leaf_in_a_table_is_rejected_too() -> None:
    found = usage_totals(EventTable(table=canonical_table(cached=11)), grid=Grid(), period=None)
    assert [v.row for v in found.verdicts] == [3]
    assert "input_tokens (10) is less than what it contains" in found.verdicts[0].reason


def test_a_table_in_other_columns_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not a table in canonical event columns"):
        usage_totals(EventTable(table=pa.table({"id": ["1"]})), grid=Grid(), period=None)


def test_a_table_with_one_row_number_twice_is_a_bug_of_the_caller() -> None:
    table = pa.concat_tables([canonical_table(cached=0), canonical_table(cached=0)])
    with pytest.raises(ValueError, match="the same number"):
        usage_totals(EventTable(table=table), grid=Grid(), period=None)
