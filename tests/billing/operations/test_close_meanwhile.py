"""What is published or accepted while a close runs: the close has what was known at its seal.

Invariant: the moment is that between the seal and the first account.
"""

from __future__ import annotations

from pathlib import Path

from billing.operations.verify import verify
from billing.store.points import hooked
from billing.store.store import Store, open_store
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    publish,
)
from tests.journeys.made_files import book, card, event, rate_of

M = 1_000_000
DAY = 86_400 * M


def test_a_book_that_is_published_during_a_close_is_for_the_next_one(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": 3 * M})])
    cheaper = book(
        card(rate_of("input_tokens", "1.5")),
        number=2,
        supersedes={"number": 1, "reason": "the rate was a typing error"},
    )

    def publish_it(name: str) -> None:
        if name == "close.sealed":
            with open_store(store_place) as own:
                publish(own, cheaper, published_at=IN_NOVEMBER_AT + 1)

    with hooked(publish_it):
        (first,) = closed(store).periods
    assert first.total_minor == 600  # 3M at 2, as known at the seal
    assert verify(store).holds
    (second,) = closed(store, now_at=IN_NOVEMBER_AT + DAY).periods
    assert second.total_minor == -150  # 3M at 1.50 = 4.50, and 6.00 was invoiced
    assert verify(store).holds


def test_a_version_that_is_accepted_during_a_close_comes_into_effect(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    publish(store, PLAIN)
    for account in "ab":
        accept(store, tmp_path, account=account)
    units = {"input_tokens": 3 * M}
    deliver(store, tmp_path, [event(i, units, account=a) for i, a in enumerate("ab")])
    half = {"id": "half", "description": "Half", "percent": "50"}
    later = {"version": 2, "effective_from": "2026-11-01T00:00:00Z"}
    at_once = {"version": 2, "effective_from": "2026-10-01T00:00:00Z", "discounts": [half]}

    def accept_both(name: str) -> None:
        if name == "close.sealed":
            with open_store(store_place) as own:
                accept(own, tmp_path, account="a", now_at=IN_NOVEMBER_AT + 1, fields=at_once)
                accept(own, tmp_path, account="b", now_at=IN_NOVEMBER_AT + 1, fields=later)

    with hooked(accept_both):
        first, second = closed(store).periods
    # Else it would be invoiced under version 1, and corrected under version 2.
    assert first.state == "blocked"
    assert "was accepted during this close; run it again" in first.blocked_by[0]
    assert second.state == "invoiced"  # what is in effect from November on changes nothing here
    first, second = closed(store, now_at=IN_NOVEMBER_AT + DAY).periods
    assert (first.state, first.total_minor) == ("invoiced", 300)  # 3M at 2, less half
    assert second.state == "invoiced before"
    assert verify(store).holds
