"""Corrections: what came late for an invoiced period stands on the next invoice, exactly once.

Invariant: I28 (charged before + corrections = rated now; applied twice, nothing is left) and I23
(the first invoice stays as it is, and is named).
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.finalizing import as_draft
from billing.domain.invoice.invoice import Invoice
from billing.domain.invoice.invoiced import invoiced_for
from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from pricing_rules.period import Period, parse_period
from pricing_rules.prices.price_book import BooksInForce
from tests.billing.domain.made_charges import OCTOBER, TAX_19, agreement, book, discount, floored
from tests.billing.domain.made_invoices import (
    MIDDLE_AT,
    NOVEMBER,
    corrected,
    invoiced,
    issued,
    ladder_books,
    priced,
    rating_of,
    used,
)

AGREED = agreement()
EARLY, LATE = used(8_000_000), used(5_000_000, at=MIDDLE_AT)


def plain(*rates: tuple[str, str]) -> BooksInForce:
    """One book with these (unit, rate) per million."""
    entries = [{"unit": unit, "rate": rate} for unit, rate in rates]
    return BooksInForce(books=(book(priced(*entries)),))


def test_a_late_event_before_a_price_change_moves_what_came_after_it() -> None:
    # 8M at 2 and, from 8M on, 2M at 1.80 and 3M at .90: 16 + 3.60 + 2.70 = 22.30.
    books = ladder_books()
    first = issued([EARLY, LATE], books=books)
    assert first.total_minor == 2230
    # With 3M more before the change: 10M at 2, 1M at 1, 5M at .90: 20 + 1 + 4.50 = 25.50.
    late = [EARLY, LATE, used(3_000_000, epoch=2)]
    second = issued(late, books=books, invoices=[first], period=NOVEMBER)
    (line,) = second.corrections
    assert (line.corrects, line.description) == (
        "INV-000001",
        "Correction of INV-000001: m, standard: output tokens",
    )
    assert line.period == first.period
    assert (line.invoiced_exact, line.rated_exact) == (Fraction("22.30"), Fraction("25.50"))
    assert (line.amount_exact, line.quantity, line.amount_minor) == (
        Fraction("3.20"),
        3_000_000,
        320,
    )
    assert (second.usage_minor, second.correction_minor, second.total_minor) == (0, 320, 320)
    assert second.covers is not None
    assert [(cover.start_at, cover.through_epoch) for cover in second.covers] == [
        (NOVEMBER.start_at, 2), (OCTOBER.start_at, 2),
    ]  # fmt: skip
    assert corrected(late, invoices=[first, second], books=books).lines == ()


def test_a_period_is_corrected_beside_the_lines_of_the_next_one() -> None:
    # October 1.00, late .50 at 1 per million; November 2.00: 2.50 and 19 % of it, .475, up to .48.
    books = plain(("output_tokens", "1"))
    agreed = agreement({"tax": TAX_19})
    october = issued([used(1_000_000)], books=books, agreed=agreed)
    totals = [used(1_000_000), used(500_000, epoch=2), used(2_000_000, at=NOVEMBER.start_at)]
    november = issued(totals, books=books, invoices=[october], agreed=agreed, period=NOVEMBER)
    assert [(line.line, line.kind, line.amount_minor) for line in november.lines] == [
        (1, "usage", 200), (2, "correction", 50),
    ]  # fmt: skip
    assert (november.usage_minor, november.correction_minor, november.net_minor) == (200, 50, 250)
    (tax,) = november.taxes
    assert (tax.net_minor, tax.tax_minor, november.total_minor) == (250, 48, 298)
    assert load_json(Invoice, canonical_json(dump(november)), name="invoice") == november


def test_a_correction_names_the_issuer_that_it_shares_a_number_with() -> None:
    books = plain(("output_tokens", "1"))
    first = issued([used(1_000_000)], books=books)
    late = [used(1_000_000), used(500_000, epoch=2)]
    sold = agreement({"issuer": {"name": "Southern Tokens"}})
    (line,) = issued(
        late, books=books, invoices=[first], agreed=sold, earlier=agreement(), period=NOVEMBER
    ).corrections
    assert (line.corrects, line.corrects_issuer) == ("INV-000001", "Northern Tokens GmbH")
    assert line.description == (
        "Correction of INV-000001 of Northern Tokens GmbH: m, standard: output tokens"
    )
    # Under one issuer the number says it all.
    (same,) = issued(late, books=books, invoices=[first], period=NOVEMBER).corrections
    assert same.corrects_issuer is None
    assert "corrects_issuer" not in dump(same)


def test_discounts_are_corrected_each_on_its_own() -> None:
    # 10 % of 2.00 was .20; of 3.00 it is .30: a late 1.00 is corrected by 1.00 and by -.10.
    books = plain(("output_tokens", "1"))
    agreed = agreement({"discounts": [discount("10")]})
    first = issued([used(2_000_000)], books=books, agreed=agreed)
    totals = [used(2_000_000), used(1_000_000, epoch=2)]
    second = issued(totals, books=books, invoices=[first], agreed=agreed, period=NOVEMBER)
    usage, off = second.corrections
    assert (usage.unit, usage.discount_id) == ("output_tokens", None)
    assert (off.discount_id, off.quantity, off.bands, off.unit) == ("d10", None, None, None)
    assert off.description == "Correction of INV-000001: Launch (10 %)"
    assert (off.invoiced_exact, off.rated_exact) == (Fraction("-0.2"), Fraction("-0.3"))
    assert [line.amount_minor for line in second.corrections] == [100, -10]


def test_a_discount_that_is_no_longer_agreed_is_taken_back() -> None:
    books = plain(("output_tokens", "1"))
    first = issued(
        [used(2_000_000)], books=books, agreed=agreement({"discounts": [discount("10")]})
    )
    (line,) = corrected([used(2_000_000)], invoices=[first], books=books).lines
    assert (line.discount_id, line.percent, line.amount_exact) == (
        "d10", Decimal(0), Fraction("0.2"),
    )  # fmt: skip
    assert line.description == "Correction of INV-000001: d10"


def test_a_discount_that_covers_nothing_any_more_keeps_its_name() -> None:
    books = plain(("output_tokens", "1"))
    agreed = agreement({"discounts": [discount("10")]})
    first = issued([used(2_000_000)], books=books, agreed=agreed)
    usage, off = corrected([], invoices=[first], books=books, agreed=agreed).lines
    assert (usage.bands, usage.quantity) == ((), -2_000_000)
    assert usage.amount_exact == -2
    assert (off.description, off.percent, off.amount_exact) == (
        "Correction of INV-000001: Launch (10 %)", Decimal(10), Fraction("0.2"),
    )  # fmt: skip


def test_what_is_rated_lower_now_is_credited() -> None:
    # 1.00 was charged; a second book, in force in the same period, makes it .70: -.30, and 19 %
    # of it -.057, -.06 away from zero.
    agreed = agreement({"tax": TAX_19})
    first = issued([used(1_000_000)], books=plain(("output_tokens", "1")), agreed=agreed)
    cheaper = plain(("output_tokens", "0.7"))
    second = issued(
        [used(1_000_000)], books=cheaper, invoices=[first], agreed=agreed, period=NOVEMBER
    )
    (line,) = second.corrections
    assert (line.quantity, line.amount_minor) == (0, -30)
    assert (second.net_minor, second.tax_minor, second.total_minor) == (-30, -6, -36)


def test_late_usage_that_costs_nothing_is_shown_by_its_quantity() -> None:
    books = plain(("output_tokens", "0"))
    first = issued([used(5)], books=books)
    (line,) = corrected([used(5), used(7, epoch=2)], invoices=[first], books=books).lines
    assert (line.quantity, line.amount_exact, line.amount_minor) == (7, Fraction(0), 0)


def test_usage_of_another_unit_is_a_line_of_its_own() -> None:
    books = plain(("output_tokens", "1"), ("input_tokens", "2"))
    first = issued([used(1_000_000)], books=books)
    late = [used(1_000_000), used(1_000_000, unit="input_tokens", epoch=2)]
    (line,) = corrected(late, invoices=[first], books=books).lines
    assert (line.unit, line.invoiced_exact, line.amount_exact) == (
        "input_tokens", Fraction(0), Fraction(2),
    )  # fmt: skip


def test_a_period_can_be_corrected_by_an_invoice_of_its_own() -> None:
    books = plain(("output_tokens", "1"))
    first = issued([used(1_000_000)], books=books)
    second = issued([used(1_000_000), used(1, epoch=2)], books=books, invoices=[first])
    assert [line.kind for line in second.lines] == ["correction"]
    assert second.covers is not None
    assert [(cover.start_at, cover.through_epoch) for cover in second.covers] == [
        (OCTOBER.start_at, 2)
    ]
    # 1.000001 is 1.00, which is posted: nothing is owed, and the quantity is billed.
    assert (second.corrections[0].amount_minor, second.total_minor) == (0, 0)


def test_a_fraction_of_a_cent_waits_until_it_is_a_whole_one() -> None:
    # .004 each: .004, .008, .012 and .016 are 0, 1, 1 and 2 cents, so 0, 1, 0 and 1 are posted.
    books = plain(("output_tokens", "4000"))
    posted: list[Invoice] = []
    for epoch in range(1, 5):
        totals = [used(1, epoch=e) for e in range(1, epoch + 1)]
        posted.append(issued(totals, books=books, invoices=posted))
    assert [invoice.total_minor for invoice in posted] == [0, 1, 0, 1]
    assert invoiced(posted).posted_minor == 2


def test_usage_without_a_rate_is_named_with_its_period() -> None:
    books = plain(("output_tokens", "1"))
    first = issued([used(1)], books=books)
    late = [used(1), used(2500, unit="audio_seconds", epoch=2)]
    one = corrected(late, invoices=[first], books=books)
    assert one.lines == ()
    assert [(u.unit, u.period_start_at) for u in one.unpriced] == [
        ("audio_seconds", OCTOBER.start_at)
    ]
    draft = draft_invoice(
        rating_of([], books=books, period=NOVEMBER),
        agreement=AGREED,
        books=books,
        period=NOVEMBER,
        corrections=[one],
    )
    assert draft.unpriced == one.unpriced
    assert dump(draft)["unpriced"][0]["period_start_at"] == "2026-10-01T00:00:00Z"


def test_a_corrected_rate_under_its_floor_is_a_finding_once() -> None:
    books = floored("1.5")
    first = issued([used(1_000_000)], books=books)
    late = [used(1_000_000), used(1, epoch=2)]
    again = issued(late, books=books, invoices=[first], period=NOVEMBER)
    assert again.findings == first.findings
    assert corrected([used(1_000_000)], invoices=[first], books=books).findings == ()


def test_books_of_corrected_periods_are_named_too() -> None:
    books = ladder_books()
    first = issued([EARLY], books=books)
    totals = [EARLY, used(1, epoch=2), used(1, at=NOVEMBER.start_at)]
    second = issued(totals, books=books, invoices=[first], period=NOVEMBER)
    # November is priced by the second book, the correction of early October by the first.
    assert [used_book.number for used_book in second.price_books] == [1, 2]


def test_a_correction_is_taxed_as_its_own_period_was() -> None:
    # October at 19 %, from November on reverse charge: a late 1.00 is taxed .19, November is not.
    books = plain(("output_tokens", "1"))
    taxed = agreement({"tax": TAX_19})
    note = {"category": "AE", "note": "Reverse charge."}
    reverse = agreement({"tax": note, "effective_from": "2026-10-01T00:00:00Z"})
    first = issued([used(1_000_000)], books=books, agreed=taxed)
    totals = [used(1_000_000), used(1_000_000, epoch=2), used(2_000_000, at=NOVEMBER.start_at)]
    second = issued(
        totals, books=books, invoices=[first], agreed=reverse, earlier=taxed, period=NOVEMBER
    )
    assert [(tax.category, tax.net_minor, tax.tax_minor, tax.note) for tax in second.taxes] == [
        ("AE", 200, 0, "Reverse charge."),
        ("S", 100, 19, None),
    ]
    assert (second.net_minor, second.tax_minor, second.total_minor) == (300, 19, 319)
    # A period without a change brings no tax line.
    third = issued(
        totals,
        books=books,
        invoices=[first, second],
        agreed=reverse,
        earlier=taxed,
        period=NOVEMBER,
    )
    assert [tax.category for tax in third.taxes] == ["AE"]


def test_inclusive_prices_are_corrected_inclusively() -> None:
    # 1.19 more, of which 19 / 119 are tax.
    books = plain(("output_tokens", "1.19"))
    agreed = agreement({"tax": TAX_19, "prices_include_tax": True})
    first = issued([used(1_000_000)], books=books, agreed=agreed)
    late = [used(1_000_000), used(1_000_000, epoch=2)]
    second = issued(late, books=books, invoices=[first], agreed=agreed, period=NOVEMBER)
    assert (second.correction_minor, second.total_minor) == (119, 119)
    assert (second.net_minor, second.tax_minor) == (100, 19)


def test_a_correction_in_another_way_than_the_invoice_is_refused() -> None:
    books = plain(("output_tokens", "1"))
    first = issued([used(1)], books=books)
    inclusive = agreement({"prices_include_tax": True, "tax": TAX_19})
    with pytest.raises(DocumentError) as refused:
        corrected([used(1)], invoices=[first], books=books, agreed=inclusive)
    assert str(refused.value) == (
        "agreement: invoice INV-000001 is in USD with prices_include_tax false; it is corrected in "
        "the same way"
    )
    one = corrected([used(2)], invoices=[first], books=books)
    with pytest.raises(DocumentError) as refused:
        draft_invoice(
            rating_of([], books=books, period=NOVEMBER),
            agreement=inclusive,
            books=books,
            period=NOVEMBER,
            corrections=[one],
        )
    assert str(refused.value) == (
        "agreement: is in USD with prices_include_tax true, and an earlier period to be corrected "
        "is not; correct it under its own agreement first"
    )


def test_a_period_that_no_invoice_bills_was_charged_nothing() -> None:
    first = issued([used(1)], books=plain(("output_tokens", "1")))
    assert invoiced_for(NOVEMBER, invoices=[first]) is None
    assert invoiced_for(OCTOBER, invoices=[]) is None


def test_a_preview_charges_nothing() -> None:
    first = issued([used(1)], books=plain(("output_tokens", "1")))
    with pytest.raises(ValueError, match="a preview charges nothing"):
        invoiced_for(OCTOBER, invoices=[as_draft(first)])


def test_periods_of_a_correction_need_not_be_months() -> None:
    week: Period = parse_period("2026-10-05/2026-10-12", zone="UTC")
    books = plain(("output_tokens", "1"))
    first = issued([used(1_000_000, at=week.start_at)], books=books, period=week)
    late = [used(3_000_000, at=week.start_at)]
    (line,) = corrected(late, invoices=[first], books=books, period=week).lines
    assert (line.amount_exact, line.period.end_at) == (Fraction(2), week.end_at)
