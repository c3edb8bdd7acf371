"""Equations of invoices and the ledger: planted damage is named with its kind and place.

Invariant: two invoices as a close makes them hold; one change, and something is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from billing.domain.invoice.finalizing import invoice_digest
from billing.domain.invoice.invoice import Invoice
from billing.domain.ledger.ledger import LedgerEntry, invoice_postings
from billing.domain.verification.equations import Verified
from billing.domain.verification.invoices import (
    AuditedClose,
    InvoiceRow,
    LineRow,
    ReadInvoices,
    audited_as_recorded,
    billed_quantities,
    covers_in_order,
    documents_as_recorded,
    line_rows,
    lines_equal_totals,
    numbers_gapless,
    rated_quantities,
)
from billing.domain.verification.ledger import (
    PostedTransaction,
    ledger_equals_invoices,
    transactions_sum_to_zero,
)
from pricing_rules.document import bytes_digest, canonical_json, dump
from tests.billing.domain.made_charges import OCTOBER, TAX_19, agreement, books, discount
from tests.billing.domain.made_invoices import NOVEMBER, issued, rating_of, used

AGREED = agreement({"tax": TAX_19, "discounts": [discount("10")]})
TOTALS = [used(3_000_000), used(1_000_000, epoch=2), used(2_000_000, at=NOVEMBER.start_at)]
FIRST = issued([used(3_000_000)], books=books(), agreed=AGREED)
SECOND = issued(TOTALS, books=books(), invoices=[FIRST], agreed=AGREED, period=NOVEMBER)
INVOICES = (FIRST, SECOND)
ID = "invoice:Northern Tokens GmbH:INV-000001"


def row(invoice: Invoice, changed: Mapping[str, Any] | None = None) -> InvoiceRow:
    """The row of an invoice, with some of its columns replaced."""
    assert invoice.number is not None
    assert invoice.through_epoch is not None
    assert invoice.issued_at is not None
    whole = InvoiceRow(
        name=invoice.number,
        issuer=invoice.issuer.name,
        account=invoice.account,
        period_start_at=invoice.period.start_at,
        period_end_at=invoice.period.end_at,
        through_epoch=invoice.through_epoch,
        currency=invoice.currency,
        total_minor=invoice.total_minor,
        finalized_at=invoice.issued_at,
        digest=invoice_digest(invoice),
        document=canonical_json(dump(invoice)).decode(),
        lines=line_rows(invoice),
    )
    return replace(whole, **(changed or {}))


def read(*rows: InvoiceRow, sealed_epoch: int = 2) -> ReadInvoices:
    return documents_as_recorded(rows, sealed_epoch=sealed_epoch)


def named(found: Verified) -> list[tuple[str, str]]:
    return [(damage.kind, damage.where) for damage in found.damage]


def posted(invoices: Sequence[Invoice] = INVOICES) -> list[PostedTransaction]:
    found = []
    for invoice in invoices:
        posting = invoice_postings(invoice)
        assert posting is not None
        found.append(
            PostedTransaction(
                id=posting.id,
                kind=posting.kind,
                invoice=posting.id,
                currency=posting.currency,
                posted_at=posting.posted_at,
                entries=posting.entries,
            )
        )
    return found


def test_invoices_as_they_were_finalized_hold() -> None:
    found = read(row(FIRST), row(SECOND))
    assert found.verified.holds
    assert found.invoices == INVOICES
    # 1 usage and 1 discount; then the same for November and for what October is corrected by.
    assert [equation.text() for equation in found.verified.equations] == [
        "digests 2 = invoices 2",
        "lines of documents 6 = line rows 6",
    ]


def test_rows_of_lines_say_whose_usage_they_are_for() -> None:
    assert [
        (r.line, r.kind, r.period_start_at, r.unit, r.quantity, r.amount_exact, r.amount_minor)
        for r in line_rows(SECOND)
    ] == [
        (1, "usage", NOVEMBER.start_at, "output_tokens", 2_000_000, "2", 200),
        (2, "discount", NOVEMBER.start_at, "", 0, "-0.2", -20),
        (3, "correction", OCTOBER.start_at, "output_tokens", 1_000_000, "1", 100),
        (4, "correction", OCTOBER.start_at, "", 0, "-0.1", -10),
    ]


def test_an_edited_document_is_named() -> None:
    edited = row(FIRST).document.replace('"payment_terms_days":30', '"payment_terms_days":31')
    found = read(row(FIRST, {"document": edited}))
    assert named(found.verified) == [("document_changed", "invoice INV-000001")]
    assert found.verified.damage[0].sentence == (
        f"the document is not the one that was recorded as {invoice_digest(FIRST)}"
    )
    assert not found.verified.equations[0].holds


def test_a_document_that_does_not_add_up_any_more_is_named_and_not_read() -> None:
    edited = row(FIRST).document.replace('"total_minor":321', '"total_minor":320')
    changed = {"document": edited, "digest": bytes_digest(edited.encode())}
    found = read(row(FIRST, changed), row(SECOND))
    assert named(found.verified) == [("document_changed", "invoice INV-000001")]
    assert "cannot be read: invoice INV-000001: net and tax do not" in (
        found.verified.damage[0].sentence
    )
    assert found.invoices == (SECOND,)


@pytest.mark.parametrize(
    "changed, kind",
    [
        ({"account": "umbrella"}, "document_row"),
        ({"issuer": "Southern Tokens"}, "document_row"),
        ({"currency": "EUR"}, "document_row"),
        ({"total_minor": 320}, "document_row"),
        ({"finalized_at": 0}, "document_row"),
        ({"period_start_at": 0}, "cover"),
        ({"period_end_at": 0}, "cover"),
        ({"through_epoch": 2}, "cover"),
    ],
)
def test_a_column_that_says_another_thing_than_its_document_is_named(
    changed: dict[str, Any], kind: str
) -> None:
    found = read(row(FIRST, changed)).verified
    (column,) = changed
    assert named(found) == [(kind, "invoice INV-000001")]
    assert found.damage[0].sentence.startswith(f"{column} is {changed[column]} in its row and ")


@pytest.mark.parametrize("sealed_epoch, found", [(1, 1), (2, 0), (3, 0)])
def test_an_epoch_that_is_not_sealed_is_not_covered(sealed_epoch: int, found: int) -> None:
    damage = read(row(SECOND), sealed_epoch=sealed_epoch).verified.damage
    assert [one.sentence for one in damage] == [
        "covers through epoch 2, which is not sealed"
    ] * found


def with_lines(lines: Sequence[LineRow]) -> Verified:
    return read(row(FIRST, {"lines": tuple(lines)})).verified


def test_a_doubled_line_a_lost_one_and_a_changed_one_are_named() -> None:
    usage, off = line_rows(FIRST)
    doubled = with_lines([usage, off, replace(usage, line=3)])
    assert named(doubled) == [("line_extra", "invoice INV-000001, line 3")]
    assert doubled.damage[0].sentence == "a row of 300 minor units is not in the document"
    assert doubled.equations[1].text() == "lines of documents 2 is not line rows 3"
    assert named(with_lines([usage])) == [("line_missing", "invoice INV-000001, line 2")]
    assert named(with_lines([usage, replace(off, amount_minor=-29)])) == [
        ("line_changed", "invoice INV-000001, line 2")
    ]


def test_covers_of_an_account_go_on_and_never_back() -> None:
    assert covers_in_order(INVOICES).holds
    # The second one, which covers October through epoch 2, before the first, through 1.
    found = covers_in_order([SECOND, FIRST])
    assert named(found) == [("cover", "invoice INV-000001, 2026-10-01T00:00:00Z")]
    assert found.damage[0].sentence == (
        "covers through epoch 1, and an invoice before it through 2"
    )
    other = FIRST.model_copy(update={"account": "umbrella"})
    assert covers_in_order([SECOND, other]).holds
    assert covers_in_order([FIRST.model_copy(update={"covers": None})]).holds


def test_covers_that_overlap_are_named() -> None:
    assert FIRST.covers is not None
    (october,) = FIRST.covers
    shifted = october.model_copy(
        update={"start_at": october.end_at - 1, "end_at": october.end_at + 1}
    )
    adjacent = october.model_copy(update={"start_at": october.end_at, "end_at": october.end_at + 1})
    found = covers_in_order([FIRST, FIRST.model_copy(update={"covers": (shifted,)})])
    assert [damage.sentence for damage in found.damage] == [
        "overlaps the period from 2026-10-01T00:00:00Z"
    ]
    assert covers_in_order([FIRST, FIRST.model_copy(update={"covers": (adjacent,)})]).holds


def rated(totals: Sequence[Any] = TOTALS) -> dict[Any, int]:
    """What the totals of both periods bill."""
    return {
        key: quantity
        for period in (OCTOBER, NOVEMBER)
        for key, quantity in rated_quantities(
            rating_of(totals, books=books(), period=period), period_start_at=period.start_at
        ).items()
    }


def test_lines_bill_what_the_totals_hold_through_what_is_covered() -> None:
    found = lines_equal_totals(billed_quantities(INVOICES), rated=rated())
    assert found.holds
    assert found.equations[0].text() == "lines 6,000,000 = totals 6,000,000"
    # Without the correction, October lacks a million.
    late = lines_equal_totals(billed_quantities([FIRST]), rated=rated(TOTALS[:2]))
    assert [damage.where for damage in late.damage] == [
        "account acme, period from 2026-10-01T00:00:00Z, m, standard: output tokens"
    ]
    assert late.damage[0].sentence == "lines 3,000,000 is not totals 4,000,000"


SERIES = ("Northern Tokens GmbH", "INV")


def test_numbers_without_a_gap_hold() -> None:
    found = numbers_gapless({SERIES: [2, 1, 3]}, next_numbers={SERIES: 4})
    assert found.holds
    assert [(one.name, one.text()) for one in found.equations] == [
        ("numbers of INV, Northern Tokens GmbH", "invoices 3 = numbers taken 3")
    ]
    assert numbers_gapless({}, next_numbers={}).holds


@pytest.mark.parametrize(
    "numbers, next_number, damage",
    [
        ([1, 3], 4, [("number_gap", "lacks number 2")]),
        ([1, 2], 4, [("number_gap", "lacks number 3")]),
        ([1, 2, 3], 3, [("number_counter", "has number 3, and its counter stands at 3")]),
        ([0, 1], 2, [("number_counter", "has number 0, and its counter stands at 2")]),
        ([], 12, [("number_gap", "lacks number 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...")]),
        ([], 2**62, [("number_gap", "lacks number 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...")]),
        ([1], 11 + 1, [("number_gap", "lacks number 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]),
    ],
)
def test_a_broken_number_series_is_named(
    numbers: list[int], next_number: int, damage: list[tuple[str, str]]
) -> None:
    found = numbers_gapless({SERIES: numbers}, next_numbers={SERIES: next_number})
    assert [(one.kind, one.sentence) for one in found.damage] == damage
    assert {one.where for one in found.damage} == {"series INV of Northern Tokens GmbH"}


def test_a_series_without_a_counter_has_taken_no_number() -> None:
    found = numbers_gapless({SERIES: [1]}, next_numbers={})
    assert [one.kind for one in found.damage] == ["number_counter"]
    assert not found.equations[0].holds


def test_transactions_and_the_whole_ledger_sum_to_zero() -> None:
    found = transactions_sum_to_zero(posted())
    # 3.21, and 2.70 and .51 of tax (19 % of 2.70 = .513)
    assert found.holds
    assert [(one.name, one.text()) for one in found.equations] == [
        ("ledger in USD", "debits 642 = credits 642")
    ]


def test_an_unbalanced_transaction_is_named_although_another_makes_up_for_it() -> None:
    first, second = posted()
    over = LedgerEntry(ledger_account="revenue:usage", amount_minor=1)
    under = LedgerEntry(ledger_account="revenue:usage", amount_minor=-1)
    found = transactions_sum_to_zero(
        [
            replace(first, entries=(*first.entries, over)),
            replace(second, entries=(*second.entries, under)),
        ]
    )
    assert [damage.kind for damage in found.damage] == ["transaction_unbalanced"] * 2
    assert found.damage[0].where == f"transaction {ID}"
    assert found.damage[0].sentence == "debits 322 are not credits 321"
    assert found.equations[0].holds


def test_the_ledger_says_what_the_invoices_say() -> None:
    found = ledger_equals_invoices(posted(), invoices=INVOICES)
    assert found.holds
    assert [(one.name, one.text()) for one in found.equations] == [
        ("receivable in USD", "ledger 642 = invoices 642")
    ]
    nothing = issued([], books=books())
    assert ledger_equals_invoices([], invoices=[nothing]).holds


def test_a_missing_transaction_is_named_with_what_the_account_owes() -> None:
    found = ledger_equals_invoices(posted([SECOND]), invoices=INVOICES)
    assert named(found) == [
        ("ledger", "receivable:acme in USD"),
        ("transaction_missing", f"transaction {ID}"),
    ]
    assert found.damage[0].sentence == "ledger 321 is not invoices 642"


def test_a_transaction_for_no_invoice_is_named() -> None:
    found = ledger_equals_invoices(posted(), invoices=[SECOND])
    assert ("transaction_extra", f"transaction {ID}") in named(found)
    elsewhere = [replace(one, currency="EUR") for one in posted([FIRST])]
    assert named(ledger_equals_invoices(elsewhere, invoices=[FIRST])) == [
        ("ledger", "receivable:acme in EUR"),
        ("ledger", "receivable:acme in USD"),
        ("transaction_changed", f"transaction {ID}"),
    ]


def test_a_balanced_transaction_of_a_kind_that_nothing_posts_is_named() -> None:
    gift = PostedTransaction(
        id="gift:1",
        kind="gift",
        invoice=None,
        currency="USD",
        posted_at=0,
        entries=(
            LedgerEntry(ledger_account="receivable:acme", amount_minor=-5),
            LedgerEntry(ledger_account="revenue:usage", amount_minor=5),
        ),
    )
    assert transactions_sum_to_zero([gift]).holds
    found = ledger_equals_invoices([*posted(), gift], invoices=INVOICES)
    assert named(found) == [("transaction_extra", "transaction gift:1")]
    assert found.damage[0].sentence == 'is of the kind "gift", which nothing posts'


def test_a_transaction_says_when_its_invoice_was_issued_and_which_one_it_is() -> None:
    (first,) = posted([FIRST])
    later = ledger_equals_invoices([replace(first, posted_at=1)], invoices=[FIRST])
    assert named(later) == [("transaction_changed", f"transaction {ID}")]
    assert later.damage[0].sentence == (
        "was posted at 1970-01-01T00:00:00.000001Z, and its invoice issued at 2026-11-02T09:30:00Z"
    )
    for invoice, words in ((f"{ID}7", f"{ID}7"), (None, "none")):
        astray = ledger_equals_invoices([replace(first, invoice=invoice)], invoices=[FIRST])
        assert named(astray) == [("transaction_changed", f"transaction {ID}")]
        assert astray.damage[0].sentence == f"is that of an invoice, and names {words}"


def test_a_changed_entry_is_named_also_where_the_account_owes_the_same() -> None:
    (first,) = posted([FIRST])
    owed, *_ = first.entries
    moved = LedgerEntry(ledger_account="revenue:usage", amount_minor=-321)
    found = ledger_equals_invoices([replace(first, entries=(owed, moved))], invoices=[FIRST])
    assert named(found) == [("transaction_changed", f"transaction {ID}")]
    assert found.damage[0].sentence == (
        "posts receivable:acme 321, revenue:usage -321 in USD, and its invoice "
        "receivable:acme 321, revenue:usage -270, tax:S -51 in USD"
    )
    empty = ledger_equals_invoices([replace(first, entries=())], invoices=[FIRST])
    assert "posts nothing in USD, and its invoice" in empty.damage[-1].sentence


def test_the_order_of_entries_is_no_damage() -> None:
    (first,) = posted([FIRST])
    turned = replace(first, entries=tuple(reversed(first.entries)))
    assert ledger_equals_invoices([turned], invoices=[FIRST]).holds


def test_an_invoice_is_the_one_whose_finalizing_was_recorded() -> None:
    rows = [row(one) for one in INVOICES]
    closes = [AuditedClose(account=one.account, number=one.name, digest=one.digest) for one in rows]
    found = audited_as_recorded(closes, rows=rows)
    assert found.holds
    assert [one.text() for one in found.equations] == ["invoices finalized 2 = invoices 2"]
    # The last one is gone, and left no gap.
    (lost,) = audited_as_recorded(closes, rows=rows[:1]).damage
    assert (lost.kind, lost.where) == ("audit", f"invoice {SECOND.number}")
    assert lost.sentence.endswith("and is not there")
    # Another document with its own digest is in the place of the first.
    edited = [replace(rows[0], digest="sha256:0"), rows[1]]
    assert [one.sentence for one in audited_as_recorded(closes, rows=edited).damage] == [
        f"was finalized with the digest {rows[0].digest}, and is not there",
        "has the digest sha256:0, and nobody recorded that it was finalized",
    ]
