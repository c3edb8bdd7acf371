"""A dry run of a close shows what the close would come to, and writes nothing."""

from __future__ import annotations

from pathlib import Path

from billing.store.store import Store
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    publish,
)
from tests.journeys.made_files import book, card, event, rate_of

M = 1_000_000


def test_a_dry_run_after_a_publication_shows_what_the_close_invoices(
    store: Store, tmp_path: Path
) -> None:
    # Of October 3M are invoiced at 2, 6.00. Then 1M comes late, and a book with another threshold
    # lowers the rate to 1.50: October is 6.00 all the same, and November has 2M, 3.00.
    publish(store, PLAIN)
    accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": 3 * M})])
    closed(store)
    later = [
        event(2, {"input_tokens": M}),
        event(3, {"input_tokens": 2 * M}, time="2026-11-03T00:00:00Z"),
        event(4, {"input_tokens": M}, time="2026-11-03T00:00:00Z", outcome="failed"),
        event(5, {"input_tokens": M}, time="2026-12-01T12:00:00Z"),
    ]
    deliver(store, tmp_path, later, now_at=IN_DECEMBER_AT)
    over = rate_of("input_tokens", "9", when={"request_tokens_over": 5 * M})
    lowered = book(
        card(rate_of("input_tokens", "1.5"), over),
        number=2,
        supersedes={"number": 1, "reason": "the rate was a typing error"},
    )
    publish(store, lowered, published_at=IN_DECEMBER_AT)
    now_at = IN_DECEMBER_AT + 1
    (shown,) = closed(store, "2026-11", now_at=now_at, dry_run=True).periods
    (made,) = closed(store, "2026-11", now_at=now_at).periods
    assert (shown.state, shown.total_minor, shown.corrections) == ("would invoice", 300, 1)
    assert (made.state, made.total_minor, made.corrections) == ("invoiced", 300, 1)


def test_a_dry_run_after_a_new_agreement_shows_its_discount(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": 3 * M})])
    half = {"id": "half", "description": "Half", "percent": "50"}
    fields = {"version": 2, "effective_from": "2026-10-01T00:00:00Z", "discounts": [half]}
    accept(store, tmp_path, now_at=IN_NOVEMBER_AT - 1, fields=fields)
    (shown,) = closed(store, dry_run=True).periods
    assert (shown.state, shown.total_minor) == ("would invoice", 300)  # 6.00 less half of it
