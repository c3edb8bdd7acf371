"""Ingest: each event once, in whichever order, batches and files it comes; every row counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.intake.assignment import Assignment
from billing.operations.ingest import IngestReport, ingest
from billing.operations.usage_file import Trace
from billing.store.audit import read_audit
from billing.store.deliveries import DeliverySums, sum_deliveries
from billing.store.epochs import seal
from billing.store.events import read_events
from billing.store.points import hooked
from billing.store.store import Store, open_store
from billing.store.usage_totals import read_all_totals
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text, parse_moment
from tests.billing.operations.made_ingest import NOW_AT, Json, facts, own_store, usage_facts
from tests.journeys.made_files import FORMATS, cloud_event, event, write_events

INPUT = {"input_tokens": 10}


@pytest.fixture
def made() -> Iterator[tuple[Path, Store]]:
    """A folder, and an empty store in it."""
    with own_store() as found:
        yield found


def deliver(
    store: Store,
    folder: Path,
    events: Sequence[Json],
    *,
    form: str = "jsonl",
    now_at: int = NOW_AT,
    batch_rows: int = 100,
) -> IngestReport:
    path = write_events(folder, events, form=form)
    return ingest(path, store=store, now_at=now_at, by="gateway", batch_rows=batch_rows)


def counted(report: IngestReport) -> tuple[int, int, int, int, int]:
    """Received, accepted, duplicate, conflict, rejected."""
    return (
        report.received,
        report.accepted,
        report.duplicate,
        report.conflict,
        report.rejected,
    )


def sums(store: Store) -> DeliverySums:
    with store.read() as connection:
        return sum_deliveries(connection)


@pytest.mark.parametrize("form", FORMATS)
def test_events_are_stored_with_their_leaves_and_totals(
    made: tuple[Path, Store], form: str
) -> None:
    folder, store = made
    units = {"input_tokens": 100, "cache_read_tokens": 40, "output_tokens": 7}
    report = deliver(store, folder, [event(1, units), event(2, units)], form=form)
    assert counted(report) == (2, 2, 0, 0, 0)
    with store.read() as connection:
        first, second = read_events(connection, account="a")
        (total,) = read_all_totals(connection, account="a")
    # 100 in with 40 of them cached: 60 fresh.
    leaves = {"input_tokens": 60, "cache_read_tokens": 40, "output_tokens": 7}
    assert first.units == second.units == leaves
    assert (first.epoch, first.received_at) == (1, NOW_AT)
    assert (total.events, total.leaves) == (2, {name: 2 * n for name, n in leaves.items()})
    # Without an agreement the month in UTC is the period.
    assert total.cell.segment_start_at == parse_moment("2026-10-01T00:00:00Z")


def test_the_same_event_from_other_formats_is_a_duplicate(made: tuple[Path, Store]) -> None:
    folder, store = made
    events = [event(n, INPUT, region="eu", dimensions={"team": "red"}) for n in range(3)]
    reports = [deliver(store, folder, events, form=form) for form in FORMATS]
    assert [counted(report) for report in reports] == [
        (3, 3, 0, 0, 0),
        (3, 0, 3, 0, 0),
        (3, 0, 3, 0, 0),
    ]
    assert sums(store).accepted == 3


def test_a_file_that_was_delivered_is_not_stored_again(made: tuple[Path, Store]) -> None:
    folder, store = made
    events = [event(1, INPUT), event(1, INPUT), event(1, {"input_tokens": 11}), event(2, INPUT)]
    first = deliver(store, folder, events)
    before = facts(folder / "store.db")
    again = deliver(store, folder, events, now_at=NOW_AT + 5)
    assert (first.already_delivered, again.already_delivered) == (False, True)
    assert counted(first) == counted(again) == (4, 2, 1, 1, 0)
    assert first.refusals == again.refusals
    assert facts(folder / "store.db") == before
    with store.read() as connection:
        (entry,) = read_audit(connection, limit=9)  # a run that stores nothing leaves no trace
    assert (entry.command, entry.subject, entry.by) == ("ingest", "usage.jsonl", "gateway")
    assert json.loads(entry.detail)["read_as"] == "CloudEvents"


def test_another_content_under_an_id_is_refused_and_the_first_stands(
    made: tuple[Path, Store],
) -> None:
    folder, store = made
    deliver(store, folder, [event(1, INPUT)])
    changed = [
        event(1, {"input_tokens": 11}),
        event(1, INPUT, account="b"),
        event(1, INPUT, time="2026-10-02T12:00:00.000001Z"),
        event(1, INPUT, source="gw2"),  # another identity
    ]
    before = usage_facts(folder / "store.db")["event_ids"]
    report = deliver(store, folder, changed, now_at=NOW_AT + 60_000_000)
    assert counted(report) == (4, 1, 0, 3, 0)
    assert [(one.row, one.verdict) for one in report.refusals] == [
        (1, "conflict"),
        (2, "conflict"),
        (3, "conflict"),
    ]
    assert report.refusals[0].reason == (
        'row 1: the event "e1" of "gw" has other content here than the one that came in at '
        "2026-11-02T08:00:00Z, which stands"
    )
    after = usage_facts(folder / "store.db")["event_ids"]
    assert [row for row in after if row[1] == "gw"] == before
    with store.read() as connection:
        assert read_all_totals(connection, account="b") == ()


def test_rows_that_are_no_events_are_named_and_the_others_kept(made: tuple[Path, Store]) -> None:
    folder, store = made
    path = folder / "usage.jsonl"
    lines = [json.dumps(cloud_event(event(n, INPUT))) for n in range(4)]
    lines[1:1] = ["", "nonsense"]
    path.write_text("\n".join(lines))
    report = ingest(path, store=store, now_at=NOW_AT, by="gateway", batch_rows=3)
    # Batches are of rows: 1-3 and 4-6.
    assert (counted(report), report.batches) == ((6, 4, 0, 0, 2), 2)
    assert [one.row for one in report.refusals] == [2, 3]
    assert report.refusals[0].reason == "line 2: is blank; remove it"
    first, second = facts(folder / "store.db")["deliveries"]
    assert {first[2], second[2]} == {1, 4}
    assert sums(store) == DeliverySums(received=6, accepted=4, duplicate=0, conflict=0, rejected=2)


def test_two_runs_at_once_store_a_file_once(made: tuple[Path, Store]) -> None:
    folder, store = made
    path = write_events(folder, [event(n, INPUT) for n in range(4)], form="jsonl")
    begun: list[str] = []
    others: list[IngestReport] = []

    def run_another(name: str) -> None:
        if name != "ingest.batch_read" or begun:
            return
        begun.append(name)  # the other run reaches the point, too
        with open_store(store.where) as second:
            others.append(ingest(path, store=second, now_at=NOW_AT, by="other", batch_rows=2))

    with hooked(run_another):
        report = ingest(path, store=store, now_at=NOW_AT, by="me", batch_rows=2)
    assert counted(report) == counted(others[0]) == (4, 4, 0, 0, 0)
    assert (report.delivered_before, others[0].delivered_before) == (2, 0)
    assert sums(store).received == 4


def test_the_epoch_is_that_of_the_transaction_that_stores(made: tuple[Path, Store]) -> None:
    folder, store = made
    path = write_events(folder, [event(n, INPUT) for n in range(2)], form="jsonl")

    def seal_once(rows: int) -> None:
        if rows == 1:
            with store.write() as connection:
                seal(connection, sealed_at=NOW_AT)

    ingest(path, store=store, now_at=NOW_AT, by="me", batch_rows=1, progress=seal_once)
    with store.read() as connection:
        assert [one.epoch for one in read_events(connection, account="a")] == [1, 2]
        totals = read_all_totals(connection, account="a")
    assert [(total.cell.epoch, total.events) for total in totals] == [(1, 1), (2, 1)]


MINUTES_15 = 15 * 60 * 1_000_000
MINUTES_EARLY_AT = parse_moment("2000-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "occurred_at, sentence",
    [
        (NOW_AT + MINUTES_15 - 1, None),
        (NOW_AT + MINUTES_15, None),
        (NOW_AT + MINUTES_15 + 1, "lies more than 15 minutes after it came in at 2026-11-02T08"),
        (parse_moment("2126-11-02T08:00:00Z"), "lies more than 15 minutes after it came in"),
        (MINUTES_EARLY_AT + 1, None),
        (MINUTES_EARLY_AT, None),
        (MINUTES_EARLY_AT - 1, "lies before 2000-01-01T00:00:00Z; correct it"),
        (0, "1970-01-01T00:00:00Z lies before 2000"),
    ],
)
def test_an_event_too_far_from_now_is_refused(
    made: tuple[Path, Store], occurred_at: int, sentence: str | None
) -> None:
    folder, store = made
    events = [event(1, INPUT, time=moment_text(occurred_at)), event(2, INPUT)]
    report = deliver(store, folder, events)
    if sentence is None:
        assert counted(report) == (2, 2, 0, 0, 0)
        return
    assert counted(report) == (2, 1, 0, 0, 1)
    (refusal,) = report.refusals
    assert (refusal.row, refusal.verdict) == (1, "rejected")
    assert refusal.reason.startswith("row 1 time: ")
    assert sentence in refusal.reason


@pytest.mark.parametrize("year", ["1969", "1900", "9999", "10000"])
def test_a_year_that_is_a_typing_error_is_refused_as_no_moment(
    made: tuple[Path, Store], year: str
) -> None:
    folder, store = made
    report = deliver(store, folder, [event(1, INPUT, time=f"{year}-01-01T00:00:00Z")])
    assert counted(report) == (1, 0, 0, 0, 1)


def test_undeclared_dimensions_are_stored_and_in_no_total(made: tuple[Path, Store]) -> None:
    folder, store = made
    deliver(store, folder, [event(1, INPUT, dimensions={"team": "red"}), event(2, INPUT)])
    with store.read() as connection:
        events = list(read_events(connection, account="a"))
        (total,) = read_all_totals(connection, account="a")
    assert [one.dimensions for one in events] == [{"team": "red"}, {}]
    assert (total.cell.dimensions, total.events) == ((), 2)


def test_a_trace_assigned_otherwise_is_another_delivery(made: tuple[Path, Store]) -> None:
    folder, store = made
    path = folder / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,374,44\n")

    def assigned(account: str) -> Trace:
        one = (("m", 1),)
        return Trace(
            kind="azure",
            starting_at=parse_moment("2026-10-01T00:00:00Z"),
            assignment=Assignment(
                accounts=((account, 1),), models=one, service_tiers=(("standard", 1),)
            ),
        )

    first = ingest(path, store=store, now_at=NOW_AT, by="me", trace=assigned("a"))
    other = ingest(path, store=store, now_at=NOW_AT, by="me", trace=assigned("b"))
    # The id of a row is of the file, and the account is content.
    assert (counted(first), counted(other)) == ((1, 1, 0, 0, 0), (1, 0, 0, 1, 0))


def test_a_file_that_changes_while_it_is_read_is_refused(made: tuple[Path, Store]) -> None:
    folder, store = made
    path = write_events(folder, [event(n, INPUT) for n in range(4)], form="csv")

    def append(rows: int) -> None:
        with path.open("a") as stream:
            stream.write("more\n")

    with pytest.raises(DocumentError, match="was changed while it was read; run it again"):
        ingest(path, store=store, now_at=NOW_AT, by="me", batch_rows=2, progress=append)
    assert sums(store).accepted == 2  # the first batch is stored, whole


@pytest.mark.parametrize(
    "name, data, sentence",
    [
        ("usage.txt", b"x", "is not known by its ending"),
        ("usage.csv", b"", "the file is empty"),
        ("usage.jsonl", b"\n", "the file is empty"),
        ("usage.parquet", b"PAR1", "this is not a whole Parquet file"),
        ("usage.csv", b"id,source\n", 'the column "account" is missing'),
        ("absent.csv", None, "cannot be read (no such file)"),
    ],
)
def test_a_file_that_is_none_changes_nothing(
    made: tuple[Path, Store], name: str, data: bytes | None, sentence: str
) -> None:
    folder, store = made
    if data is not None:
        (folder / name).write_bytes(data)
    with pytest.raises(DocumentError) as caught:
        ingest(folder / name, store=store, now_at=NOW_AT, by="me")
    assert sentence in str(caught.value)
    assert sums(store).received == 0


TIMES = [
    "2026-09-30T23:59:59.999999Z",
    "2026-10-01T00:00:00Z",
    "2026-10-01T02:00:00+02:00",
    "2026-10-31T23:59:59Z",
    "2026-11-01T00:00:00Z",
]
ONE = st.builds(
    event,
    st.just(0),
    st.fixed_dictionaries(
        {"input_tokens": st.sampled_from([0, 5, 1000])},
        optional={"cache_read_tokens": st.sampled_from([0, 1]), "output_tokens": st.just(3)},
    ).filter(lambda units: units.get("cache_read_tokens", 0) <= units["input_tokens"]),
    account=st.sampled_from(["a", "b"]),
    time=st.sampled_from(TIMES),
    model=st.sampled_from(["m", "n"]),
    outcome=st.sampled_from(["completed", "failed"]),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Json], list[tuple[list[Json], str, int]]]:
    """Events, and the same ones as files: in any order, some several times, formats and batches."""
    drawn = draw(st.lists(ONE, min_size=1, max_size=8))
    events = [{**one, "id": f"e{number}"} for number, one in enumerate(drawn)]
    more = draw(st.lists(st.sampled_from(events), max_size=6))
    order = draw(st.permutations([*events, *more]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=2)))
    pieces = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    return events, [
        (piece, draw(st.sampled_from(FORMATS)), draw(st.integers(1, 5)))
        for piece in pieces
        if piece
    ]


@settings(max_examples=20)  # each one writes two stores
@given(made=deliveries())
def test_order_batches_copies_and_files_change_nothing(
    made: tuple[list[Json], list[tuple[list[Json], str, int]]],
) -> None:
    events, files = made
    with own_store() as (folder, store):
        deliver(store, folder, events)
        plain = usage_facts(folder / "store.db")
    with own_store() as (folder, store):
        reports = [
            deliver(store, folder, piece, form=form, batch_rows=size) for piece, form, size in files
        ]
        assert usage_facts(folder / "store.db") == plain
        committed = sums(store)
    assert all(report.received == sum(counted(report)[1:]) for report in reports)
    assert (committed.accepted, committed.conflict, committed.rejected) == (len(events), 0, 0)
    assert committed.received == committed.accepted + committed.duplicate
