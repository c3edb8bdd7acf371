"""Drafting an invoice: lines that add up, rounded once, and findings that change no bill."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.invoice import DiscountLine, Invoice, UsageLine
from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from pricing_rules.money import decimal_text
from pricing_rules.period import Period, parse_moment, parse_period
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge, Rating, grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.billing.domain.made_charges import (
    OCTOBER,
    TAX_19,
    agreement,
    band,
    book,
    books,
    charge,
    costing,
    discount,
    floored,
    rated,
    unpriced,
)


def draft(
    rating: Rating,
    *,
    changes: dict[str, Any] | None = None,
    in_force: BooksInForce | None = None,
    period: Period = OCTOBER,
) -> Invoice:
    return draft_invoice(
        rating, agreement=agreement(changes), books=in_force or books(), period=period
    )


def minors(invoice: Invoice) -> list[int]:
    return [line.amount_minor for line in invoice.lines]


def totals(invoice: Invoice) -> tuple[int, int, int]:
    return invoice.net_minor, invoice.tax_minor, invoice.total_minor


def test_a_discount_is_a_negative_line_of_its_own() -> None:
    # 123,456,789 at 0.25 per million = 30.86419725, less 10 % = 27.777777525: 27.78 net. The floors
    # 30.86 and -3.09 leave one cent for the larger fraction: 0.419... of the usage, 0.358... of the
    # discount. 19 % of 27.78 = 5.2782.
    found = draft(
        rated([charge(band(123_456_789, rate="0.25"))]),
        changes={"discounts": [discount("10")], "tax": TAX_19},
    )
    usage, off = found.lines
    assert isinstance(usage, UsageLine)
    assert isinstance(off, DiscountLine)
    assert usage.description == "m, standard: output tokens"
    assert usage.amount_exact == Fraction("30.86419725")
    assert (off.line, off.discount_id, off.applies_to) == (2, "d10", (1,))
    assert off.description == "Launch (10 %)"
    assert off.amount_exact == Fraction("-3.086419725")
    assert minors(found) == [3087, -309]
    assert (found.usage_minor, found.discount_minor) == (3087, -309)
    assert totals(found) == (2778, 528, 3306)


def test_a_thousand_lines_under_a_cent_lose_nothing() -> None:
    # 1,000 * 0.004 = 4.00: each line alone would round to nothing.
    found = draft(rated([costing("0.004", model=f"m-{n:04d}") for n in range(1000)]))
    assert found.total_minor == 400
    assert minors(found) == [1] * 400 + [0] * 600  # equal fractions: the first lines get the cents


def test_a_net_that_lies_between_two_minor_units_is_rounded_away_from_zero() -> None:
    assert draft(rated([costing("0.0049")])).total_minor == 0
    assert draft(rated([costing("0.005")])).total_minor == 1
    assert draft(rated([costing("0.0051")])).total_minor == 1


def test_tax_is_on_the_net_where_rates_exclude_it() -> None:
    found = draft(rated([costing("10")]), changes={"tax": TAX_19})
    assert totals(found) == (1000, 190, 1190)


def test_tax_is_taken_out_of_the_gross_where_rates_include_it() -> None:
    # 1000 * 19 / 119 = 159.66
    found = draft(rated([costing("10")]), changes={"tax": TAX_19, "prices_include_tax": True})
    assert minors(found) == [1000]
    assert totals(found) == (840, 160, 1000)


def test_yen_have_no_decimals_and_dinars_have_three() -> None:
    for code, digits, total_minor in (("JPY", 0, 124), ("KWD", 3, 123_500)):
        found = draft(
            rated([costing("123.5")], code=code),
            changes={"currency": code},
            in_force=books({"currency": code}),
        )
        assert (found.minor_digits, found.total_minor) == (digits, total_minor)


@pytest.mark.parametrize("floor, findings", [("0.89", 0), ("0.9", 0), ("0.91", 1)])
def test_a_rate_under_its_floor_after_discounts_is_a_finding_and_changes_no_bill(
    floor: str, findings: int
) -> None:
    # 1 per million less 10 % = 0.90
    found = draft(
        rated([charge(band(1_000_000))]),
        changes={"discounts": [discount("10")]},
        in_force=floored(floor),
    )
    assert len(found.findings) == findings
    assert all("0.9 per million after discounts" in sentence for sentence in found.findings)
    assert found.total_minor == 90


def test_other_accounts_are_left_out() -> None:
    found = draft(
        rated(
            [costing("1", account="aaa"), costing("2"), costing("4", account="zzz")],
            left=[unpriced("aaa"), unpriced()],
        )
    )
    assert (minors(found), len(found.unpriced)) == ([200], 1)


def test_an_account_without_usage_owes_nothing() -> None:
    found = draft(rated([]), changes={"tax": TAX_19, "discounts": [discount("10")]})
    assert (found.lines, found.price_books, found.unpriced) == ((), (), ())
    assert totals(found) == (0, 0, 0)


def test_only_the_books_that_priced_a_line_are_named() -> None:
    second = book({"number": 2, "effective_from": "2026-10-15T00:00:00Z"})
    third = book({"number": 3, "effective_from": "2026-10-20T00:00:00Z"})
    found = draft(
        rated([charge(band(5, number=3), band(5))]),
        in_force=BooksInForce(books=(third, second, book())),
    )
    assert [(used.number, used.digest) for used in found.price_books] == [
        (1, book().digest),
        (3, third.digest),
    ]


def test_a_book_without_a_digest_is_refused() -> None:
    candidate = BooksInForce(books=(book().model_copy(update={"digest": None}),))
    with pytest.raises(DocumentError, match=r"^price book 1: has no digest; publish it"):
        draft(rated([charge(band(1))]), in_force=candidate)


def test_what_the_agreement_says_stands_on_the_draft() -> None:
    found = draft(
        rated([]),
        changes={"zone": "Europe/Berlin", "effective_from": "2026-09-30T22:00:00Z"},
        period=parse_period("2026-10-01/2026-11-01", zone="Europe/Berlin"),
    )
    written = dump(found)
    assert written["status"] == "preview"
    assert "number" not in written
    assert (written["account"], written["agreement_version"]) == ("acme", 3)
    assert written["bill_to"]["name"] == "Acme Robotics"
    assert written["period"] == {
        "start_at": "2026-09-30T22:00:00Z",
        "end_at": "2026-10-31T23:00:00Z",
        "zone": "Europe/Berlin",
    }
    assert written["taxes"][0]["note"] == "Outside the scope of VAT."


def test_totals_are_rated_drafted_and_read_back_with_what_is_unpriced() -> None:
    cell = Cell(
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
    leaves = {"output_tokens": 2_000_000, "audio_seconds": 2500}
    in_force = books()
    rating = rate_totals(
        [UsageTotal(cell=cell, events=2, leaves=leaves)],
        books=in_force,
        grid=grid_for(in_force, period=OCTOBER),
    )
    found = draft(rating)
    assert (minors(found), found.total_minor) == ([200], 200)
    left = found.unpriced[0]
    assert (left.unit, left.quantity, left.scale, left.events) == ("audio_seconds", 2500, 1000, 2)
    assert left.reason == "book 1 has no rate for audio_seconds under these conditions"
    assert load_json(Invoice, canonical_json(dump(found)), name="invoice") == found


@pytest.mark.parametrize(
    "changes, in_force, sentence",
    [
        (
            {"series": "eu"},
            {},
            "follows eu in USD, but the price book is usd in USD; give the books of its own series",
        ),
        (
            {"currency": "EUR"},
            {},
            "follows usd in EUR, but the price book is usd in USD; "
            "give the books of its own series",
        ),
        (
            {},
            {"series": "eu", "currency": "EUR"},
            "follows usd in USD, but the price book is eu in EUR; give the books of its own series",
        ),
        (
            {"effective_from": "2026-10-01T00:00:00.000001Z"},
            {},
            "is in effect from 2026-10-01T00:00:00.000001Z, after the period starts "
            "(2026-10-01T00:00:00Z); choose a later period",
        ),
    ],
)
def test_an_agreement_for_other_books_or_a_later_start_is_refused(
    changes: dict[str, str], in_force: dict[str, str], sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        draft(rated([]), changes=changes, in_force=books(in_force))
    assert (refused.value.where, refused.value.sentence) == ("agreement", sentence)


@pytest.mark.parametrize("start", ["2026-09-30T23:59:59Z", "2026-10-01T00:00:00Z"])
def test_an_agreement_that_starts_before_or_with_the_period_is_drafted(start: str) -> None:
    assert draft(rated([]), changes={"effective_from": start}).period.start_at == parse_moment(
        "2026-10-01T00:00:00Z"
    )


def test_the_longest_description_of_a_discount_fits_on_its_line() -> None:
    longest = discount("10", {"description": "x" * 500, "percent": "10." + 24 * "1"})
    found = draft(rated([costing("1")]), changes={"discounts": [longest]})
    assert found.lines[1].description.startswith("x" * 500 + " (10.1")
    with pytest.raises(DocumentError, match="500"):
        agreement({"discounts": [discount("10", {"description": "x" * 501})]})


@st.composite
def any_charges(draw: st.DrawFn) -> list[Charge]:
    """Up to 40 charges of one or two bands, at rates from 24 decimals to thousands."""
    bands = st.builds(
        lambda quantity, scaled, digits, per: band(
            quantity, rate=decimal_text(Decimal(scaled).scaleb(-digits)), per=per
        ),
        st.integers(0, 10**13),
        st.integers(0, 10**6),
        st.integers(0, 24),
        st.sampled_from([1, 3, 7, 1000, 1_000_000]),
    )
    parts = draw(st.lists(st.lists(bands, min_size=1, max_size=2), max_size=40))
    return [charge(*found, model=f"m-{i % 3}") for i, found in enumerate(parts)]


PERCENTS = st.decimals("0.01", 33, places=2).map(decimal_text)


@given(
    charges=any_charges(),
    percents=st.tuples(PERCENTS, PERCENTS, PERCENTS),
    tax=st.sampled_from(["0.5", "7", "19", "100"]),
    included=st.booleans(),
    code=st.sampled_from(["JPY", "USD", "KWD"]),
)
def test_lines_add_up_to_the_exact_total_rounded_once(
    charges: list[Charge], percents: tuple[str, str, str], tax: str, included: bool, code: str
) -> None:
    scopes = [{}, {"models": ["m-1"]}, {"models": ["m-2", "m-0"]}]
    found = draft(
        rated(charges, code=code),
        changes={
            "currency": code,
            "discounts": [
                discount(percent, {"id": str(i), **scope})
                for i, (percent, scope) in enumerate(zip(percents, scopes, strict=True))
            ],
            "tax": {"category": "S", "rate_percent": tax},
            "prices_include_tax": included,
        },
        in_force=books({"currency": code}),
    )
    unit = 10**found.minor_digits
    list_total = sum((c.amount for c in charges), Fraction(0))
    taken_off = sum(
        (
            c.amount
            * sum(Fraction(p) for p, s in zip(percents, scopes, strict=True) if covers(s, c))
            for c in charges
        ),
        Fraction(0),
    )
    exact = (list_total - taken_off / 100) * unit
    rounded = sum(minors(found))
    assert abs(rounded - exact) <= Fraction(1, 2)
    assert rounded - exact != Fraction(-1, 2)  # a half goes away from zero, and this is never under
    assert rounded == (found.total_minor if included else found.net_minor)
    assert sum((line.amount_exact for line in found.lines), Fraction(0)) * unit == exact
    for line in found.lines:  # a share is the exact amount's floor or the next unit
        assert 0 <= line.amount_minor - (line.amount_exact * unit).__floor__() <= 1


def covers(scope: dict[str, list[str]], charged: Charge) -> bool:
    return not scope or charged.model in scope["models"]


def test_a_period_in_which_a_ramp_changes_a_discount_is_refused() -> None:
    # From October on 25 %, from month 3 (December) on 10 %.
    pilot = discount("25", {"ramp": [{"from_month": 3, "percent": "10"}]})
    agreed = agreement({"discounts": [pilot]})

    def drafted(period: str) -> Invoice:
        billed = parse_period(period, zone="UTC")
        charges = rated([costing("100")])
        return draft_invoice(charges, agreement=agreed, books=books(), period=billed)

    # Up to the change and from it on it has one percentage: 100 less 25 %, and less 10 %.
    assert drafted("2026-10-01/2026-12-01").total_minor == 7500
    assert drafted("2026-12-01/2027-01-01").total_minor == 9000
    with pytest.raises(DocumentError) as refused:
        drafted("2026-10-01/2026-12-02")
    assert refused.value.sentence == (
        "changes a discount at 2026-12-01T00:00:00Z, inside the period "
        "2026-10-01T00:00:00Z/2026-12-02T00:00:00Z; bill up to it and from it on apart"
    )
