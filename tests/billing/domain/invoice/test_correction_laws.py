"""Laws of corrections: whatever comes late, and when, invoices sum up to the whole rated anew.

Invariant: I28 exactly for each key, in minor units for the period; I23 (no finalized invoice
changes).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.invoice import Invoice
from billing.domain.invoice.invoiced import InvoicedAmount, LineKey, quantity_of
from billing.domain.tax.tax import round_amount
from pricing_rules.document import canonical_json, dump
from pricing_rules.money import currency
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.usage.totals import UsageTotal
from tests.billing.domain.made_charges import OCTOBER, TAX_19, agreement, book, discount
from tests.billing.domain.made_invoices import (
    MIDDLE_AT,
    corrected,
    invoiced,
    issued,
    priced,
    rating_of,
    used,
)

USE = st.tuples(
    st.integers(0, 30_000_000),
    st.sampled_from([OCTOBER.start_at, MIDDLE_AT]),
    st.sampled_from(["output_tokens", "input_tokens", "cache_read_tokens"]),
)
EPOCHS = st.lists(st.lists(USE, max_size=4), min_size=1, max_size=5)


def sequence_books() -> BooksInForce:
    """A ladder across a price change, and plain rates with 24 decimals."""
    fine = {"unit": "input_tokens", "rate": "0.333333333333333333333333"}
    first = priced(graduated_output("2", upper="1"), fine)
    second = priced(
        graduated_output("1.7", upper="0.9"), {**fine, "rate": "0.1"}, number=2, start="2026-10-15"
    )
    return BooksInForce(books=(book(first), book(second)))


def graduated_output(lower: str, *, upper: str) -> dict[str, Any]:
    bands = [{"up_to": "10000000", "rate": lower}, {"rate": upper}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    return {"unit": "output_tokens", "ladder": ladder}


def in_epochs(epochs: Sequence[Sequence[tuple[int, int, str]]]) -> list[list[UsageTotal]]:
    """All totals that are known after each epoch."""
    known: list[UsageTotal] = []
    after: list[list[UsageTotal]] = []
    for epoch, uses in enumerate(epochs, start=1):
        known += [used(count, at=at, unit=unit, epoch=epoch) for count, at, unit in uses]
        after.append(list(known))
    return after


@given(epochs=EPOCHS, percent=st.sampled_from(["0.01", "33.3", "100"]), included=st.booleans())
def test_the_first_invoice_and_its_corrections_are_the_whole_rated_anew(
    epochs: list[list[tuple[int, int, str]]], percent: str, included: bool
) -> None:
    books = sequence_books()
    agreed = agreement(
        {
            "tax": TAX_19,
            "prices_include_tax": included,
            "discounts": [discount(percent, {"units": ["output_tokens"]})],
        }
    )
    unit = currency("USD")
    invoices: list[Invoice] = []
    for totals in in_epochs(epochs):
        before = [canonical_json(dump(one)) for one in invoices]
        invoices.append(issued(totals, books=books, invoices=invoices, agreed=agreed))
        assert before == [canonical_json(dump(one)) for one in invoices[:-1]]  # I23
        charged = invoiced(invoices)
        whole = draft_invoice(
            rating_of(totals, books=books, period=OCTOBER),
            agreement=agreed,
            books=books,
            period=OCTOBER,
        )
        now = {
            LineKey.of(line): InvoicedAmount(quantity=quantity_of(line), amount=line.amount_exact)
            for line in whole.lines
        }
        left = {key: amount for key, amount in charged.amounts.items() if key not in now}
        assert all(amount == InvoicedAmount() for amount in left.values())
        assert {key: charged.amounts[key] for key in now} == now
        exact = sum((amount.amount for amount in now.values()), Fraction(0))
        assert charged.posted_minor == round_amount(exact, unit=unit)
        again = corrected(totals, invoices=invoices, books=books, agreed=agreed)
        assert again.lines == ()  # applied twice, nothing is left
        for line in invoices[-1].corrections:
            assert abs(line.amount_minor - line.amount_exact * 100) < 1
        assert charged.number == "INV-000001"


@given(epochs=EPOCHS)
def test_corrections_do_not_depend_on_when_usage_came(
    epochs: list[list[tuple[int, int, str]]],
) -> None:
    books = sequence_books()
    step_by_step: list[Invoice] = []
    after = in_epochs(epochs)
    for totals in after:
        step_by_step.append(issued(totals, books=books, invoices=step_by_step))
    at_once = issued(after[-1], books=books)
    assert sum(one.net_minor for one in step_by_step) == at_once.net_minor
    amounts = {k: a for k, a in invoiced(step_by_step).amounts.items() if a != InvoicedAmount()}
    expected = {k: a for k, a in invoiced([at_once]).amounts.items() if a != InvoicedAmount()}
    assert amounts == expected
