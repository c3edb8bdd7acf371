"""Events summed in memory give the totals of the engine that reads files."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.engines.duckdb_totals import usage_totals
from billing.engines.event_source import EventTable
from billing.engines.event_sums import sum_events
from billing.intake.cloud_events import read_cloud_events
from billing.operations.new_events import new_events
from pricing_rules.usage.totals import Grid
from tests.billing.engines.naive_totals import Raw, event_json
from tests.billing.engines.test_totals_agree import EVENT, FINE, RECURRING
from tests.billing.store.made_rows import event

ACCOUNTS = ("acme", "Acme", "Ångström, Inc")


@settings(max_examples=25)  # each one starts the engine
@given(
    events=st.lists(EVENT, max_size=10, unique_by=lambda raw: (raw["source"], raw["id"])),
    grid=st.sampled_from([FINE, RECURRING, Grid()]),
)
def test_the_totals_are_those_of_the_engine(events: list[Raw], grid: Grid) -> None:
    lines = b"\n".join(map(event_json, events)) or b"x"
    table, refused = read_cloud_events(lines, name="events.jsonl")
    engine = usage_totals(EventTable(table=table, rejected=refused), grid=grid, period=None)
    summed = sum_events(new_events(table), epoch=0, grids=dict.fromkeys(ACCOUNTS, grid))
    assert summed == engine.totals


def test_each_account_is_cut_by_its_own_grid() -> None:
    both = [
        {
            "id": account,
            "source": "gw",
            "account": account,
            "time": "1970-01-01T00:00:10Z",
            "model": "m",
            "service_tier": "standard",
            "input_tokens": 5,
        }
        for account in ("a", "b")
    ]
    table, _ = read_cloud_events(b"\n".join(map(event_json, both)), name="events.jsonl")
    # 10 s is 10,000,000 us.
    grids = {"a": Grid(), "b": Grid(instants_at=(7, 10_000_000))}
    found = sum_events(new_events(table), epoch=4, grids=grids)
    assert [(t.cell.account, t.cell.epoch, t.cell.segment_start_at) for t in found] == [
        ("a", 4, 0),
        ("b", 4, 10_000_000),
    ]
    assert [(t.events, t.leaves) for t in found] == [(1, {"input_tokens": 5})] * 2


def test_leaves_are_in_the_order_of_their_names_and_events_stay_as_they_are() -> None:
    first = event("e1", units={"output_tokens": 2, "input_tokens": 5})
    second = event("e2", units={"input_tokens": 1, "cache_read_tokens": 4})
    (found,) = sum_events([first, second], epoch=1, grids={"acme": Grid()})
    # 5 + 1 input tokens; the others come once.
    assert list(found.leaves.items()) == [
        ("cache_read_tokens", 4),
        ("input_tokens", 6),
        ("output_tokens", 2),
    ]
    assert found.events == 2
    assert first.units == {"output_tokens": 2, "input_tokens": 5}
