"""Sums by model over all accounts, on both databases: voided events are in none.

Invariant: a sum is exact beyond 64 bits, too.
"""

from __future__ import annotations

from msgspec.structs import replace

from billing.store.corrections import append_correction, append_steps, find_events
from billing.store.store import Store
from billing.store.usage_sums import read_model_sums
from pricing_rules.period import Period
from tests.billing.store.made_rows import correction, event, ingest, step

PERIOD = Period(start_at=100, end_at=200)


def sums(store: Store) -> dict[tuple[str, str], int]:
    with store.read() as connection:
        return read_model_sums(connection, period=PERIOD)


def step_of(store: Store, *, event_id: str, number: int) -> None:
    """One more step of an event."""
    name = f"cor_{number}"
    with store.write() as connection:
        (found,) = find_events(connection, owner="provider", keys=[("gw", event_id)]).values()
        append_correction(connection, correction=correction(name))
        append_steps(connection, steps=[step(found.seq, number=number, of=name)])


def test_events_of_a_period_add_up_by_model_over_accounts_without_voided_ones(
    store: Store,
) -> None:
    rows = [
        event("e1", occurred_at=99, units={"input_tokens": 1_000}),
        event("e2", occurred_at=100, units={"input_tokens": 3, "output_tokens": 4}),
        event("e3", occurred_at=199, units={"input_tokens": 5}, account="other"),
        event("e4", occurred_at=200, units={"input_tokens": 1_000}),
        replace(event("e5", occurred_at=150, units={"cache_read_tokens": 7}), model="n"),
    ]
    assert len(ingest(store, rows=rows)) == 5
    whole = {
        ("m", "input_tokens"): 8,  # 3 + 5
        ("m", "output_tokens"): 4,
        ("m", "requests"): 2,
        ("n", "cache_read_tokens"): 7,
        ("n", "requests"): 1,
    }
    assert sums(store) == whole
    step_of(store, event_id="e2", number=1)  # voided
    left = {**whole, ("m", "input_tokens"): 5, ("m", "requests"): 1}
    del left["m", "output_tokens"]
    assert sums(store) == left
    step_of(store, event_id="e2", number=2)  # restored
    assert sums(store) == whole


def test_sums_beyond_64_bits_are_exact(store: Store) -> None:
    # 3 x 2**62 is more than 2**63.
    rows = [event(f"e{n}", occurred_at=150, units={"input_tokens": 2**62}) for n in range(3)]
    ingest(store, rows=rows)
    assert sums(store)["m", "input_tokens"] == 3 * 2**62
