"""Whatever the clocks say, an event that comes again is the same one, and two services whose clocks
differ count it once (faults 42, 55 and 57).

Invariant: every moment is one that a test sets.
"""

from __future__ import annotations

from typing import Any

import pytest

from billing.operations.verify import verify
from billing.settings import Settings
from billing.store.store import Store
from tests.billing.api.made_service import BATCH, sent, served, verdicts
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_webhooks import Clock

Json = Any

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S


def timeless(number: int, **fields: Json) -> Json:
    """An event that states no moment."""
    one = sent(number, **fields)
    return {name: one[name] for name in one if name != "time"}


@pytest.mark.parametrize(
    "later_s",
    [1, 25 * HOUR_S, 36 * DAY_S, 2 * 365 * DAY_S, -HOUR_S],
    ids=["a second", "25 hours", "36 days", "two years", "an hour back"],
)
def test_an_event_that_comes_again_at_any_time_is_a_duplicate(store: Store, later_s: int) -> None:
    clock = Clock()
    events = [sent(1), timeless(2)]
    with served(store, settings=Settings(key_fresh_s=0), clock=clock) as made:
        assert verdicts(made.post(events, form=BATCH)) == ["accepted", "accepted"]
        clock.move(later_s)
        assert verdicts(made.post(events, form=BATCH)) == ["duplicate", "duplicate"]
        others = [sent(1, 11), timeless(2, count=11)]
        assert verdicts(made.post(others, form=BATCH)) == ["conflict", "conflict"]
        assert verdicts(made.post([timeless(3)], form=BATCH)) == ["accepted"]
    assert verify(store).holds


def test_two_services_whose_clocks_are_ten_minutes_apart_count_an_event_once(store: Store) -> None:
    slow, fast = Clock(NOW_AT), Clock(NOW_AT)
    fast.move(10 * MINUTE_S)
    with (
        served(store, settings=Settings(), clock=slow) as first,
        served(store, settings=Settings(), clock=fast) as second,
    ):
        # What happens now where the clock is fast is ten minutes ahead where it is slow, which is
        # less than clocks may differ.
        now = {**sent(1), "time": "2026-11-02T08:10:00Z"}
        assert verdicts(second.post([now, timeless(2)], form=BATCH)) == ["accepted", "accepted"]
        assert verdicts(first.post([now, timeless(2)], form=BATCH)) == ["duplicate", "duplicate"]
        assert verdicts(first.post([timeless(3)], form=BATCH)) == ["accepted"]
        assert verdicts(second.post([timeless(3)], form=BATCH)) == ["duplicate"]
        november = {"start_at": "2026-11-01T00:00:00Z", "end_at": "2026-12-01T00:00:00Z"}
        for made in (first, second):
            found = made.usage(**november).json()["data"]
            assert {one["unit"]: one["count"] for one in found} == {
                "input_tokens": 30,
                "requests": 3,
            }
    assert verify(store).holds
