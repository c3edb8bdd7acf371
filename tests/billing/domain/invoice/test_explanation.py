"""The walk of an invoice line: its sum, the book and rate of each band, and its floor if any."""

from __future__ import annotations

from typing import Any

import pytest

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.explanation import explain_line
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError
from pricing_rules.prices.explain import Step
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.billing.domain.made_charges import OCTOBER, agreement, books, discount, floored
from tests.billing.domain.made_invoices import MIDDLE_AT, NOVEMBER, issued, ladder_books, used

CELL = Cell(
    account="acme",
    epoch=0,
    segment_start_at=OCTOBER.start_at,
    model="m",
    service_tier="standard",
    region="",
    size_class_tokens=0,
    outcome="completed",
    dimensions=(),
)


def priced(*rates: dict[str, Any]) -> BooksInForce:
    return books({"rate_cards": [{"model": "m", "service_tier": "standard", "rates": list(rates)}]})


def drafted(
    leaves: dict[str, int], *, in_force: BooksInForce, cells: tuple[Cell, ...] = (CELL,)
) -> Invoice:
    rating = rate_totals(
        [UsageTotal(cell=cell, events=1, leaves=leaves) for cell in cells],
        books=in_force,
        grid=grid_for(in_force, period=OCTOBER),
    )
    agreed = agreement({"discounts": [discount("10.0")]})
    return draft_invoice(rating, agreement=agreed, books=in_force, period=OCTOBER)


def charges(
    leaves: dict[str, int], *, in_force: BooksInForce, cells: tuple[Cell, ...] = (CELL,)
) -> list[str]:
    invoice = drafted(leaves, in_force=in_force, cells=cells)
    return [step.sentence for step in explain_line(invoice, line=1, books=in_force).rests_on]


def test_a_usage_line_rests_on_its_charge_book_rate_and_floor() -> None:
    in_force = floored("0.5")
    invoice = drafted({"output_tokens": 1_234_567}, in_force=in_force)
    line = explain_line(invoice, line=1, books=in_force)
    # 123.4567 and -12.34567 cents are 111 together: floors 123 and -13, and the larger fraction is
    # that of the discount.
    assert line.sentence == (
        "line 1, m, standard: output tokens: 123 minor units of 1.234567 USD exactly"
    )
    (charged,) = line.rests_on
    assert charged.sentence == "1,234,567 x 1 / 1,000,000 = 1.234567"
    book, rate = charged.rests_on
    assert book.sentence == f"usd number 1, {in_force.books[0].digest}"
    assert rate.sentence == "m, standard, output_tokens: 1 per 1,000,000"
    assert rate.rests_on[-1].sentence.startswith("full floor 0.5 per Mtok = (0.5 / 1 + 0)")


def test_a_discount_line_rests_on_the_agreement() -> None:
    in_force = books()
    invoice = drafted({"output_tokens": 1_000_000}, in_force=in_force)
    assert explain_line(invoice, line=2, books=in_force) == Step(
        kind="line",
        sentence="line 2, Launch (10.0 %): -0.1 USD exactly = -10 % of the exact amounts of "
        "lines 1",
        rests_on=(
            Step(
                kind="agreement",
                sentence="discount d10.0 of version 3 of the agreement of acme",
            ),
        ),
    )


def test_a_charge_shows_its_steps_and_the_condition_of_its_rate() -> None:
    large = {"unit": "audio_seconds", "rate": "2", "per": 60, "when": {"region": "eu"}}
    in_force = priced(large, {**large, "rate": "1", "when": {}})
    cell = Cell(**{name: getattr(CELL, name) for name in CELL.__slots__} | {"region": "eu"})
    # 90,000 ms = 1.5 minutes at 2 in the eu, and at 1 elsewhere.
    shown = charges({"audio_seconds": 90_000}, in_force=in_force, cells=(cell, CELL))
    assert shown == [
        "90,000 x 1 / 60 / 1,000 (steps of 1/1,000) = 1.5",
        "90,000 x 2 / 60 / 1,000 (steps of 1/1,000) = 3",
    ]
    invoice = drafted({"audio_seconds": 90_000}, in_force=in_force, cells=(cell,))
    (charged,) = explain_line(invoice, line=1, books=in_force).rests_on
    assert charged.rests_on[0].sentence.startswith("usd number 1, region=eu, sha256:")
    assert charged.rests_on[1].rests_on[-1].sentence == (
        "cost: none (no measured cost stands behind this rate)"
    )


@pytest.mark.parametrize(
    "kind, band, sentence",
    [
        ("graduated", {"rate": "2", "flat": "5"}, "11 x 2 / 10 + 5 flat = 7.2"),
        # 11 are two packages of 10.
        ("package", {"rate": "2"}, "11 x 2 / 10, in whole packages, = 4"),
        (
            "graduated",
            {"rate": "2", "cap": "1.5"},
            "11 x 2 / 10, up to its cap, = 1.5",
        ),
    ],
)
def test_a_charge_says_where_its_amount_is_not_quantity_times_rate(
    kind: str, band: dict[str, str], sentence: str
) -> None:
    ladder = {"id": "l", "kind": kind, "bands": [band]}
    in_force = priced({"unit": "output_tokens", "per": 10, "ladder": ladder})
    assert charges({"output_tokens": 11}, in_force=in_force) == [sentence]


def test_a_correction_says_what_was_charged_before_what_it_is_now_and_the_difference() -> None:
    early, after = used(8_000_000), used(5_000_000, at=MIDDLE_AT)
    in_force = ladder_books()
    first = issued([early, after], books=in_force)
    totals = [early, after, used(3_000_000, epoch=2)]
    second = issued(totals, books=in_force, invoices=[first], period=NOVEMBER)
    walk = explain_line(second, line=1, books=in_force)
    assert walk.sentence == (
        "line 1, Correction of INV-000001: m, standard: output tokens: 320 minor units of 3.2 USD "
        "exactly = 25.5 for 16,000,000 now - 22.3 for 13,000,000 invoiced before"
    )
    corrected, *charged = walk.rests_on
    assert corrected == Step(
        kind="invoice",
        sentence="corrects invoice INV-000001 for usage of "
        "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z",
    )
    assert [step.sentence for step in charged] == [
        "10,000,000 x 2 / 1,000,000 = 20",
        "1,000,000 x 1 / 1,000,000 = 1",
        "5,000,000 x 0.9 / 1,000,000 = 4.5",
    ]
    assert charged[2].rests_on[0].sentence == f"usd number 2, {in_force.books[1].digest}"


def test_a_correction_of_an_invoice_of_another_issuer_names_both() -> None:
    in_force = ladder_books()
    first = issued([used(8_000_000)], books=in_force)
    totals = [used(8_000_000), used(1_000_000, epoch=2)]
    sold = agreement({"issuer": {"name": "Southern Tokens"}})
    second = issued(
        totals,
        books=in_force,
        invoices=[first],
        agreed=sold,
        earlier=agreement(),
        period=NOVEMBER,
    )
    assert explain_line(second, line=1, books=in_force).rests_on[0].sentence == (
        "corrects invoice INV-000001 of Northern Tokens GmbH for usage of "
        "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"
    )


def test_a_corrected_discount_rests_on_the_invoice_that_it_corrects() -> None:
    in_force = books()
    agreed = agreement({"discounts": [discount("10")]})
    first = issued([used(1_000_000)], books=in_force, agreed=agreed)
    totals = [used(1_000_000), used(500_000, epoch=2)]
    second = issued(totals, books=in_force, invoices=[first], agreed=agreed, period=NOVEMBER)
    walk = explain_line(second, line=2, books=in_force)
    assert walk.sentence == (
        "line 2, Correction of INV-000001: Launch (10 %): -5 minor units of -0.05 USD exactly = "
        "-0.15 now - -0.1 invoiced before"
    )
    assert [step.kind for step in walk.rests_on] == ["invoice"]


def test_a_correction_from_books_of_another_series_asks_for_those() -> None:
    in_force = books()
    first = issued([used(1)], books=in_force)
    second = issued([used(2)], books=in_force, invoices=[first], period=NOVEMBER)
    with pytest.raises(DocumentError) as refused:
        explain_line(second, line=1, books=books({"series": "eu"}))
    assert str(refused.value) == (
        "price books: line 1 was priced from the series usd, not eu; give its books"
    )


def test_a_line_that_is_not_there_is_refused() -> None:
    in_force = books()
    invoice = drafted({"output_tokens": 1}, in_force=in_force)
    with pytest.raises(DocumentError, match="invoice: has no line 3; it has 1 to 2"):
        explain_line(invoice, line=3, books=in_force)
    with pytest.raises(DocumentError, match="invoice: has no line 1; it has none"):
        explain_line(drafted({}, in_force=in_force), line=1, books=in_force)


def test_a_line_that_the_book_cannot_have_priced_is_a_fault_of_ours() -> None:
    invoice = drafted({"output_tokens": 1}, in_force=books())
    card = {"model": "x", "service_tier": "y", "rates": [{"unit": "output_tokens", "rate": "1"}]}
    with pytest.raises(AssertionError, match="book 1 priced a line without a card"):
        explain_line(invoice, line=1, books=books({"rate_cards": [card]}))
