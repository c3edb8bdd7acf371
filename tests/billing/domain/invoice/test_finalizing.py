"""Finalizing: a draft gets its number and moment, and usage without a price stops it.

Invariant: what is billed does not change by it, and what is covered is every period that was
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.finalizing import (
    Waiver,
    as_draft,
    finalize,
    invoice_digest,
    not_waived,
)
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError, canonical_json, content_digest, dump
from pricing_rules.period import Period, parse_moment, parse_period
from pricing_rules.prices.rating import Unpriced
from tests.billing.domain.made_charges import (
    OCTOBER,
    agreement,
    band,
    books,
    charge,
    rated,
    unpriced,
)

ISSUED_AT = parse_moment("2026-11-02T09:30:00Z")
SEPTEMBER: Period = parse_period("2026-09-01/2026-10-01", zone="UTC")
AUGUST: Period = parse_period("2026-08-01/2026-09-01", zone="UTC")
WAIVER = Waiver(
    period_start_at=OCTOBER.start_at, model="m", service_tier="standard", unit="audio_seconds"
)


def draft(left: Sequence[Unpriced] = ()) -> Invoice:
    return draft_invoice(
        rated([charge(band(3_000_000))], left=left),
        agreement=agreement(),
        books=books(),
        period=OCTOBER,
    )


def final(
    found: Invoice, *, corrected: Sequence[Period] = (), waivers: Sequence[Waiver] = ()
) -> Invoice:
    return finalize(
        found,
        number="INV-000042",
        issued_at=ISSUED_AT,
        through_epoch=7,
        corrected=corrected,
        waivers=waivers,
    )


def test_a_final_invoice_is_its_draft_with_a_number_a_moment_and_a_cover() -> None:
    found = final(draft())
    assert dump(found) == {
        **dump(draft()),
        "status": "final",
        "number": "INV-000042",
        "issued_at": "2026-11-02T09:30:00Z",
        "through_epoch": 7,
        "covers": [
            {
                "start_at": "2026-10-01T00:00:00Z",
                "end_at": "2026-11-01T00:00:00Z",
                "through_epoch": 7,
            }
        ],
    }
    assert as_draft(found) == draft()
    assert canonical_json(dump(as_draft(found))) == canonical_json(dump(draft()))
    assert invoice_digest(found) == content_digest(dump(found))


def test_periods_that_were_compared_are_covered_once_and_in_order() -> None:
    found = final(draft(), corrected=[SEPTEMBER, AUGUST, OCTOBER, SEPTEMBER])
    assert found.covers is not None
    assert [(cover.start_at, cover.through_epoch) for cover in found.covers] == [
        (OCTOBER.start_at, 7), (AUGUST.start_at, 7), (SEPTEMBER.start_at, 7),
    ]  # fmt: skip


def test_usage_without_a_price_stops_the_invoice_until_it_is_waived() -> None:
    found = draft([unpriced()])
    with pytest.raises(DocumentError) as refused:
        final(found)
    assert str(refused.value) == (
        "account acme: 2500 audio_seconds of m in standard are unpriced: book 1 has no rate for "
        "audio_seconds under these conditions; publish a price or waive them"
    )
    assert not_waived(found, waivers=[WAIVER]) == ()
    assert final(found, waivers=[WAIVER]).unpriced == found.unpriced


def test_a_waiver_is_for_its_own_period_model_service_tier_and_unit() -> None:
    found = draft([unpriced()])
    late = found.model_copy(
        update={"unpriced": (found.unpriced[0].of_period(SEPTEMBER.start_at), *found.unpriced)}
    )
    with pytest.raises(DocumentError, match=r"are unpriced \(and 1 more\): book 1"):
        final(late)
    assert not_waived(late, waivers=[WAIVER]) == late.unpriced[:1]
    others = [
        Waiver(
            period_start_at=SEPTEMBER.start_at,
            model=model,
            service_tier=service_tier,
            unit=unit,
        )
        for model, service_tier, unit in (
            ("n", "standard", "audio_seconds"),
            ("m", "batch", "audio_seconds"),
            ("m", "standard", "input_tokens"),
        )
    ]
    assert len(not_waived(late, waivers=[WAIVER, *others])) == 1


def test_an_invoice_is_finalized_once() -> None:
    with pytest.raises(ValueError, match="the invoice INV-000042 is final already"):
        final(final(draft()))
