"""Facts beside what was recorded of them: each damage that is planted is named, on both stores.

Invariant: the store with damage is a copy of one that adds up, which is made once for each kind.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from billing.operations import due
from billing.operations.verify import VerifyReport, verify
from billing.store.store import Store, open_store
from pricing_rules.period import parse_moment
from pricing_rules.prices.rating import Rating, rate_totals
from tests.billing.operations.made_backfill import backfilled, checked, inputs
from tests.billing.operations.made_corrections import NOW_AT, amend, correct, take_in, void
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    deliver_ladder,
    ladder_books,
    publish,
)
from tests.billing.store.made_rows import damage
from tests.billing.store.postgresql_server import Server
from tests.journeys.made_files import event

M = 1_000_000
LATER_AT = IN_NOVEMBER_AT + M
STAGED_AT = parse_moment("2026-11-20T00:00:00Z")


def _fill(store: Store, folder: Path) -> None:
    """Two accounts, two closed months, and a void, an amendment and a backfill between them."""
    for value in ladder_books():
        publish(store, value)
    for account in "ab":
        accept(store, folder, account=account)
    usage = [
        event(1, {"input_tokens": 8 * M}),
        event(2, {"input_tokens": 5 * M}, account="b", dimensions={"team": "x"}),
        event(3, {"input_tokens": 3 * M}),
        event(4, {"input_tokens": 2 * M}),
    ]
    deliver(store, folder, usage)
    closed(store)
    (new,) = checked([inputs(6, M)])
    made = correct(store, void("e4"), amend("e3", new), now_at=LATER_AT)
    assert [one.verdict for one in made] == ["accepted"] * 2
    backfilled(store, [inputs(1, 8 * M), inputs(6, M), inputs(7, M)], now_at=STAGED_AT)
    closed(store, "2026-11", now_at=IN_DECEMBER_AT)


@pytest.fixture(scope="module")
def made_once(
    store_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str | Path]:
    folder = tmp_path_factory.mktemp("made")
    if store_kind == "sqlite":
        place = folder / "made.db"
        shutil.copyfile(request.getfixturevalue("made_file"), place)
        with open_store(place) as store:
            _fill(store, folder)
        yield place
        return
    server: Server = request.getfixturevalue("server")
    with server.database(template="made") as url:
        with open_store(url) as store:
            _fill(store, folder)
        yield url


@pytest.fixture
def filled(
    store_kind: str, made_once: str | Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Store]:
    """A copy of the store that was filled."""
    if store_kind == "sqlite":
        place = tmp_path / "copy.db"
        shutil.copyfile(made_once, place)
        with open_store(place) as store:
            yield store
        return
    server: Server = request.getfixturevalue("server")
    name = str(made_once).rpartition("@/")[2].partition("?")[0]
    with server.database(template=name) as url, open_store(url) as store:
        yield store


def _named(report: VerifyReport) -> list[str]:
    return [f"{one.kind}: {one.where}: {one.sentence}" for one in report.verified.damage]


def test_the_store_adds_up_without_damage(filled: Store) -> None:
    report = verify(filled)
    assert _named(report) == []
    found = {one.name: one.text() for one in report.verified.equations}
    assert found["epochs"] == "epochs sealed 2 = seals recorded 2"
    # a: 8M at 2 = 16.00, 2M more at 2 and 3M at 1 = 23.00; 10M count now, 20.00. b: 5M, 10.00.
    assert found["amounts in USD"] == "charged 3,000 = rated anew 3,000"
    assert found["content"] == "digests 6 = events 6"


OF_FIRST = "WHERE id = 'invoice:Example Tokens:INV-2026-000001'"
SEQ = "(SELECT seq FROM events WHERE id = '{0}')"

OF_E2 = "WHERE id = 'e2'"
NOT_AS_TAKEN = (
    "changed_event: event gw/e2: what is stored of it is not the content that took its id"
)

DAMAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "a moment inside its segment": (
        (f"UPDATE events SET occurred_at = occurred_at + 1 {OF_E2}",),
        NOT_AS_TAKEN,
    ),
    "an event that states its moment no more": (
        (f"UPDATE events SET timed_by = 'receipt', occurred_at = received_at {OF_E2}",),
        NOT_AS_TAKEN,
    ),
    "a dimension by which no total is cut": (
        (f"UPDATE events SET dimensions = replace(dimensions, 'x', 'y') {OF_E2}",),
        NOT_AS_TAKEN,
    ),
    "a size inside its class": (
        (f"UPDATE events SET request_tokens = request_tokens + 1 {OF_E2}",),
        NOT_AS_TAKEN,
    ),
    "counts, with totals that were made to follow": (
        (
            f"UPDATE events SET units = replace(units, '5000000', '5000001') {OF_E2}",
            "UPDATE usage_totals SET leaves = replace(leaves, '5000000', '5000001')",
        ),
        NOT_AS_TAKEN,
    ),
    "a digest": (
        (f"UPDATE event_ids SET payload_digest = '0' {OF_E2}",),
        NOT_AS_TAKEN,
    ),
    "another moment of posting": (
        (f"UPDATE ledger_transactions SET posted_at = posted_at + 1 {OF_FIRST}",),
        "transaction_changed: transaction invoice:Example Tokens:INV-2026-000001: was posted at",
    ),
    "a pointer to another invoice": (
        (f"UPDATE ledger_transactions SET number = 2 {OF_FIRST}",),
        "transaction_changed: transaction invoice:Example Tokens:INV-2026-000001: is that of an "
        "invoice, and names invoice:Example Tokens:INV-2026-000002",
    ),
    "a pointer to an invoice that is not there": (
        (f"UPDATE ledger_transactions SET series = 'X' {OF_FIRST}",),
        "is that of an invoice, and names number 1 of the series X of Example Tokens, which is not",
    ),
    "a pointer that is gone": (
        (f"UPDATE ledger_transactions SET issuer = NULL, series = NULL, number = NULL {OF_FIRST}",),
        "is that of an invoice, and names none",
    ),
    "a balanced transaction of a kind that nothing posts": (
        (
            "INSERT INTO ledger_transactions (id, kind, currency, posted_at) "
            "VALUES ('gift:1', 'gift', 'USD', 5)",
            "INSERT INTO ledger_entries (transaction_id, entry, ledger_account, amount_minor) "
            "VALUES ('gift:1', 1, 'receivable:a', -100), ('gift:1', 2, 'revenue:usage', 100)",
        ),
        'transaction_extra: transaction gift:1: is of the kind "gift", which nothing posts',
    ),
    "a transaction of an invoice under another kind": (
        (f"UPDATE ledger_transactions SET kind = 'refund' {OF_FIRST}",),
        'is of the kind "refund", which nothing posts',
    ),
    "an invoice of another issuer": (
        (
            "UPDATE invoices SET issuer = 'X' WHERE number = 1",
            "UPDATE invoice_lines SET issuer = 'X' WHERE number = 1",
        ),
        "document_row: invoice INV-2026-000001: issuer is X in its row and Example Tokens in its",
    ),
    "an invoice of another number": (
        (
            "UPDATE invoices SET number = 7 WHERE number = 2",
            "UPDATE invoice_lines SET number = 7 WHERE number = 2",
        ),
        "document_row: invoice INV-2026-000007: number is INV-2026-000007 in its row and INV-2026-"
        "000002 in its document",
    ),
    "a record of sealing that was edited": (
        ("UPDATE audit SET subject = 'one' WHERE command = 'seal' AND subject = '1'",),
        "epoch: epoch 1: nobody recorded that it was sealed",
    ),
    "a sealed moment that was edited": (
        ("UPDATE epochs SET sealed_at = sealed_at + 1 WHERE epoch = 1",),
        "epoch: epoch 1: was sealed at 2026-11-02T00:00:00.000001Z, and recorded as sealed at ",
    ),
    "sealed moments out of order": (
        ("UPDATE epochs SET sealed_at = 5 WHERE epoch = 2",),
        "epoch: epoch 2: was sealed at 1970-01-01T00:00:00.000005Z, before the one before it at ",
    ),
    "an epoch in the middle that was removed": (
        ("DELETE FROM epochs WHERE epoch = 1",),
        "epoch: epoch 1: is not there, and epoch 2 is",
    ),
    "the last epoch removed": (
        ("DELETE FROM epochs WHERE epoch = 2",),
        "epoch: epoch 2: was sealed, as the audit says, and is not there",
    ),
    "an epoch that nobody sealed": (
        ("INSERT INTO epochs (epoch, sealed_at) VALUES (3, 9000000000000000)",),
        "epoch: epoch 3: nobody recorded that it was sealed",
    ),
    "an event of an epoch that is not open": (
        (
            "UPDATE events SET epoch = 9 WHERE id = 'e2'",
            "UPDATE event_ids SET epoch = 9 WHERE id = 'e2'",
        ),
        "epoch: epoch 9: has events, and the epoch 3 is open",
    ),
    "a correction that nobody made": (
        (
            "INSERT INTO corrections (correction, kind, account, reason, by, detail, epoch, "
            "recorded_at) SELECT 'cor_x', kind, account, reason, by, detail, epoch, recorded_at "
            "FROM corrections WHERE kind = 'void'",
        ),
        "changed_correction: correction cor_x: is there, and nobody recorded that it was made",
    ),
    "a record of sealing that is no JSON": (
        ("UPDATE audit SET detail = 'x' WHERE command = 'seal' AND subject = '1'",),
        "epoch: epoch 1: nobody recorded that it was sealed",
    ),
    "a correction that says nothing of itself": (
        ("UPDATE corrections SET detail = '{}' WHERE kind = 'void'",),
        ": what it says of itself was changed",
    ),
    "an amendment whose detail is no JSON": (
        ("UPDATE corrections SET detail = 'x' WHERE kind = 'amend'",),
        ": what it says of itself was changed",
    ),
    "a backfill that says nothing of itself": (
        ("UPDATE corrections SET detail = '{}' WHERE kind = 'backfill'",),
        "changed_correction: correction bf_1: what it says of itself was changed",
    ),
    "totals of an outcome that is none": (
        ("UPDATE usage_totals SET outcome = 'x' WHERE account = 'b'",),
        "total: account b, epoch 1, segment from 2026-10-01T00:00:00Z, m in standard: totals ",
    ),
    "an agreement that cannot be read": (
        ("UPDATE agreements SET document = '{}' WHERE account = 'b'",),
        "document_changed: agreement of b, version 1: the document is not the one that was",
    ),
    "a version of the grid that cannot be read": (
        ("UPDATE grid_versions SET instants = 'x'",),
        "total: account b: version 2 of the grid: was changed where it is stored, so that it",
    ),
    "an event whose counts are no JSON": (
        ("UPDATE events SET units = 'x' WHERE id = 'e2'",),
        "changed_event: event gw/e2: what is stored of it is not the content that took its id",
    ),
    "an account of which an event cannot be summed": (
        ("UPDATE events SET dimensions = '[]' WHERE id = 'e2'",),
        ": event gw/e2: was changed where it is stored, so that its counts cannot "
        "be read; put a backup from before that in place of the store",
    ),
    "a correction that names another event": (
        ("""UPDATE corrections SET detail = replace(detail, '"e4"', '"e1"')""",),
        "says that it voids the event gw/e1, and has no step of it",
    ),
    "a step that was moved to another event": (
        (
            f"UPDATE event_corrections SET event = {SEQ.format('e1')} "
            f"WHERE event = {SEQ.format('e4')}",
        ),
        "says that it voids the event gw/e4, and has no step of it",
    ),
    "an amendment that names another event": (
        ("""UPDATE corrections SET detail = replace(detail, '"e6"', '"e1"')""",),
        "says that the event gw/e1 came with it, and it did not",
    ),
    "an audit row of which the corrections are none": (
        ("""UPDATE audit SET detail = '{"corrections":5}' WHERE command = 'backfill apply'""",),
        "changed_correction: correction bf_1: is there, and nobody recorded that it was made",
    ),
    "an audit row of which the corrections have no names": (
        ("""UPDATE audit SET detail = '{"corrections":[[1]]}' WHERE command = 'backfill apply'""",),
        "changed_correction: correction bf_1: is there, and nobody recorded that it was made",
    ),
    "an epoch with a number of its own": (
        (f"UPDATE epochs SET epoch = {2**62} WHERE epoch = 2",),
        f"epoch: epochs 12 to {2**62 - 1}: are not there",
    ),
    "a total beyond all years": (
        (f"UPDATE usage_totals SET segment_start_at = {2**62} WHERE account = 'b'",),
        "total: account b, epoch 1, segment from 4,611,686,018,427,387,904 microseconds since 1970",
    ),
    "a total of less than nothing": (
        ("""UPDATE usage_totals SET leaves = '{"input_tokens":-5}' WHERE account = 'b'""",),
        "quantity: account b: its totals are of usage that cannot be rated",
    ),
    "a posting in no currency": (
        (f"UPDATE ledger_transactions SET currency = '{{1}}' {OF_FIRST}",),
        "receivable:a in {1}: ledger",
    ),
    "counts of an event that a correction names": (
        ("UPDATE events SET units = '{' WHERE id = 'e4'",),
        "changed_event: event gw/e4: what is stored of it",
    ),
    "a backfill of which an event is gone": (
        ("DELETE FROM events WHERE id = 'e7'", "DELETE FROM event_ids WHERE id = 'e7'"),
        "changed_correction: correction bf_1: says that it added 1 events and has 0",
    ),
}


@pytest.mark.parametrize("planted", DAMAGES)
def test_planted_damage_is_named(filled: Store, planted: str) -> None:
    statements, said = DAMAGES[planted]
    damage(filled, *statements)
    report = verify(filled)
    assert not report.holds
    assert [one for one in _named(report) if said in one], _named(report)


def test_an_event_without_a_moment_is_as_it_came_in(store: Store) -> None:
    (sent,) = checked([inputs(1, time=None)])
    assert sent.timed_by == "receipt"
    take_in(store, msgspec.structs.replace(sent, occurred_at=NOW_AT))
    assert verify(store).holds
    damage(store, "UPDATE events SET occurred_at = occurred_at - 1")
    assert [one.kind for one in verify(store).verified.damage] == ["changed_event"]


def _doubled(*args: Any, **fields: Any) -> Rating:
    """A rating that a bug charges twice."""
    rating = rate_totals(*args, **fields)
    return replace(
        rating,
        charges=tuple(
            replace(
                charge,
                amount=2 * charge.amount,
                bands=tuple(replace(one, amount=2 * one.amount) for one in charge.bands),
            )
            for charge in rating.charges
        ),
    )


def test_an_invoice_that_was_wrong_when_it_was_finalized_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, PLAIN)
    tenth = {"id": "tenth", "description": "Tenth", "percent": "10"}
    accept(store, tmp_path, fields={"discounts": [tenth]})
    deliver(store, tmp_path, [event(1, {"input_tokens": 3 * M})])
    with monkeypatch.context() as patched:
        patched.setattr(due, "rate_totals", _doubled)
        closed(store)
    # 3M at 2 less a tenth are 5.40; document, rows, ledger and audit all say 10.80.
    period = "account a, period from 2026-10-01T00:00:00Z"
    assert _named(verify(store)) == [
        f"amount: {period}: charged 1,080 is not rated anew 540",
        f"amount: {period}, m, standard: input tokens: lines charge 12, and rated anew it is 6",
        f"amount: {period}, discount tenth: lines charge -1.2, and rated anew it is -0.6",
    ]
    # The next close takes the difference back, and all of the period is right again.
    deliver(store, tmp_path, [event(2, {"input_tokens": M})], now_at=LATER_AT)
    (one,) = closed(store, now_at=LATER_AT + 1).periods
    assert one.total_minor == 720 - 1_080  # 4M at 2 less a tenth are 7.20
    assert verify(store).holds


def test_amounts_are_rated_under_the_books_that_were_known_then(
    store: Store, tmp_path: Path
) -> None:
    deliver_ladder(store, tmp_path)
    closed(store)
    cheaper = {**ladder_books()[1], "number": 3, "supersedes": {"number": 2, "reason": "typo"}}
    cheaper["rate_cards"] = PLAIN["rate_cards"]
    publish(store, cheaper, published_at=LATER_AT)
    # October stands as it was invoiced, until the next close compares it.
    assert verify(store).holds
    closed(store, now_at=LATER_AT + 1)
    assert verify(store).holds


def test_taxes_and_prices_that_include_them_add_up(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    gross = {"prices_include_tax": True, "tax": {"category": "S", "rate_percent": "19"}}
    accept(store, tmp_path, fields=gross)
    deliver(store, tmp_path, [event(1, {"input_tokens": 1_234_567})])
    closed(store)
    assert verify(store).holds
