"""The invoice as a document: what is checked when one is read from its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from tests.billing.domain.made_charges import (
    OCTOBER,
    TAX_19,
    agreement,
    band,
    books,
    charge,
    discount,
    rated,
    unpriced,
)


def fields() -> dict[str, Any]:
    """The JSON of an invoice of 3.00, less 10 % = 2.70, with 19 % tax = 0.513, 0.51: 3.21."""
    agreed = agreement({"discounts": [discount("10")], "tax": TAX_19})
    found = draft_invoice(
        rated([charge(band(3_000_000))], left=[unpriced()]),
        agreement=agreed,
        books=books(),
        period=OCTOBER,
    )
    return dump(found)


def read(document: dict[str, Any]) -> Invoice:
    return load_json(Invoice, json.dumps(document).encode(), name="invoice.json")


def placed(document: dict[str, Any], *, path: list[str | int], value: object) -> dict[str, Any]:
    """The document with the field at ``path`` replaced."""
    at: Any = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return document


def test_it_is_read_back_as_it_was_written() -> None:
    document = fields()
    assert canonical_json(dump(read(document))) == canonical_json(document)
    assert (document["net_minor"], document["tax_minor"], document["total_minor"]) == (270, 51, 321)


COVER = {
    "start_at": "2026-10-01T00:00:00Z",
    "end_at": "2026-11-01T00:00:00Z",
    "through_epoch": 3,
}
ISSUED = {
    "status": "final",
    "number": "2026-000042",
    "issued_at": "2026-11-02T09:30:00Z",
    "through_epoch": 3,
    "covers": [COVER],
}


def test_a_final_invoice_says_its_number_moment_and_cover_and_a_preview_none_of_them() -> None:
    final = read({**fields(), **ISSUED})
    assert (final.number, final.through_epoch, final.corrections) == ("2026-000042", 3, ())
    for name, value in ISSUED.items():
        for document in (
            {key: one for key, one in {**fields(), **ISSUED}.items() if key != name},
            {**fields(), name: value},
        ):
            with pytest.raises(DocumentError) as refused:
                read({"status": "preview", **document})
            assert refused.value.sentence == (
                "a final invoice has number, issued_at, through_epoch and covers, and a preview "
                "has none of them"
            )


@pytest.mark.parametrize(
    "covers, sentence",
    [
        ([COVER, COVER], "covers holds a period twice"),
        ([], "covers does not begin with the period, through through_epoch"),
        ([{**COVER, "through_epoch": 2}], "covers does not begin with the period"),
        ([{**COVER, "end_at": "2026-12-01T00:00:00Z"}], "covers does not begin with the period"),
        ([{**COVER, "start_at": "2026-09-01T00:00:00Z"}], "covers does not begin with the period"),
        ([{**COVER, "through_epoch": 0}], "greater than or equal to 1"),
    ],
)
def test_an_invoice_that_covers_something_else_is_refused(
    covers: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(DocumentError, match=sentence):
        read({**fields(), **ISSUED, "covers": covers})


def test_a_cover_holds_usage_of_its_period_through_its_epoch() -> None:
    final = read({**fields(), **ISSUED})
    assert final.covers is not None
    (cover,) = final.covers
    start_at, end_at = cover.start_at, cover.end_at
    assert [cover.holds(at, epoch=3) for at in (start_at - 1, start_at, end_at - 1, end_at)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert [cover.holds(start_at, epoch=epoch) for epoch in (2, 3, 4)] == [True, True, False]


def with_correction(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The invoice above, and 1.00 of September more: 3.70 and .703, .70 of tax."""
    document = fields()
    correction = {
        "line": 3,
        "kind": "correction",
        "description": "Correction of 2026-000041: m, standard: output tokens",
        "corrects": "2026-000041",
        "period": {
            "start_at": "2026-09-01T00:00:00Z",
            "end_at": "2026-10-01T00:00:00Z",
            "zone": "UTC",
        },
        "series": "usd",
        "model": "m",
        "service_tier": "standard",
        "unit": "output_tokens",
        "quantity": -500_000,
        "scale": 1,
        "bands": [{**document["lines"][0]["bands"][0], "quantity": 3, "amount": "3"}],
        "rated_exact": "3",
        "invoiced_exact": "2",
        "amount_exact": "1",
        "amount_minor": 100,
        "tax_category": "S",
        "tax_rate_percent": "19",
        **(changes or {}),
    }
    kept = {key: value for key, value in correction.items() if value is not None}
    return {
        **document,
        "lines": [*document["lines"], kept],
        "correction_minor": 100,
        "taxes": [{**document["taxes"][0], "net_minor": 370, "tax_minor": 70}],
        "net_minor": 370,
        "tax_minor": 70,
        "total_minor": 440,
    }


def test_a_correction_line_is_read_back_as_it_was_written() -> None:
    document = with_correction()
    assert canonical_json(dump(read(document))) == canonical_json(document)
    assert read(document).corrections[0].quantity == -500_000


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"amount_exact": "2"}, "amount_exact is not rated_exact - invoiced_exact"),
        ({"rated_exact": "2", "invoiced_exact": "1"}, "the bands do not add up to rated_exact"),
        ({"model": None}, "a correction has model, service_tier, unit, quantity, scale and bands"),
        ({"discount_id": "d"}, "or else discount_id and percent"),
        ({"discount_id": "d", "percent": "1"}, "or else discount_id and percent"),
        ({"tax_rate_percent": "7"}, "has a tax category that taxes does not hold"),
        ({"tax_category": "Z"}, "has a tax category that taxes does not hold"),
        ({"amount_minor": 101}, "the correction lines do not add up to correction_minor"),
    ],
)
def test_a_correction_line_that_does_not_add_up_is_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        read(with_correction(changes))
    assert sentence in refused.value.sentence


def test_corrections_are_summed_where_there_are_some_and_only_there() -> None:
    with pytest.raises(DocumentError, match="do not add up to correction_minor"):
        read({**fields(), "correction_minor": 0})
    document = with_correction()
    del document["correction_minor"]
    with pytest.raises(DocumentError, match="do not add up to correction_minor"):
        read(document)
    with pytest.raises(DocumentError, match="do not add up to the amount that is taxed"):
        read({**with_correction(), "net_minor": 371})


def test_a_line_corrects_only_what_the_invoice_covers() -> None:
    with pytest.raises(DocumentError, match="a line corrects a period that covers does not hold"):
        read({**with_correction(), **ISSUED})
    september = {
        "start_at": "2026-09-01T00:00:00Z",
        "end_at": "2026-10-01T00:00:00Z",
        "through_epoch": 3,
    }
    assert read({**with_correction(), **ISSUED, "covers": [COVER, september]}).total_minor == 440


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"usage_minor": 301}, "the lines do not add up to usage_minor and discount_minor"),
        ({"discount_minor": -31}, "the lines do not add up to usage_minor and discount_minor"),
        # Their sum is right, and each is wrong.
        ({"usage_minor": 301, "discount_minor": -31}, "do not add up to usage_minor"),
        ({"net_minor": 271, "total_minor": 322}, "do not add up to the amount that is taxed"),
        ({"prices_include_tax": True}, "do not add up to the amount that is taxed"),
        ({"tax_minor": 52}, "net and tax do not add up to the total"),
        ({"tax_minor": 52, "total_minor": 322}, "the tax categories do not add up to net and tax"),
        ({"taxes": []}, "the tax categories do not add up to net and tax"),
        ({"minor_digits": 3}, "minor_digits of USD must be 2, not 3"),
        ({"currency": "JPY"}, "minor_digits of JPY must be 0, not 2"),
    ],
)
def test_an_invoice_that_does_not_add_up_is_refused(
    changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        read({**fields(), **changes})
    assert sentence in refused.value.sentence


@pytest.mark.parametrize(
    "path, value, where, sentence",
    [
        (["period", "zone"], "Mars/Base", "period.zone", '"Mars/Base" is not an IANA time zone'),
        (["period", "end_at"], "2026-10-01T00:00:00Z", "period", "must end after it starts"),
        (["period", "end_at"], "2026-11-01", "period.end_at", "must be a moment"),
        (["account"], "a\u202eb", "account", "U+202E"),
        (["account"], None, "account", "must be a string in quotes"),
        (["bill_to", "name"], " Acme", "bill_to.name", "must not begin or end with a space"),
        (["currency"], "XXX", "currency", "is not an ISO 4217 currency"),
        (["payment_terms_days"], -1, "payment_terms_days", "greater than or equal to 0"),
        (["lines", 0, "kind"], "fee", "lines[0]", "write one of usage, discount, correction"),
        (["lines", 0, "quantity"], -1, "lines[0].quantity", "greater than or equal to 0"),
        (["lines", 0, "scale"], 0, "lines[0].scale", "greater than or equal to 1"),
        (["lines", 0, "amount_exact"], 3, "lines[0].amount_exact", "must be a string in quotes"),
        (["lines", 0, "amount_exact"], "3e0", "lines[0].amount_exact", 'plain decimal or "n/d"'),
        (["lines", 0, "bands", 0, "quantity"], -1, "lines[0].bands[0].quantity", "or equal to 0"),
        (["lines", 0, "bands", 0, "per"], 0, "lines[0].bands[0].per", "or equal to 1"),
        (["lines", 0, "bands", 0, "flat"], "-1", "lines[0].bands[0].flat", "or equal to 0"),
        (["lines", 1, "percent"], "-10", "lines[1].percent", "must be a plain decimal"),
        (["lines", 1, "bands"], [], "lines[1].bands", "unknown field"),
        (["taxes", 0, "category"], "K", "taxes[0].category", "'S', 'Z', 'E', 'AE', 'G' or 'O'"),
        (["unpriced", 0, "events"], -2, "unpriced[0].events", "greater than or equal to 0"),
        (["findings"], ["a\nb"], "findings[0]", "U+000A"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(
    path: list[str | int], value: object, where: str, sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        read(placed(fields(), path=path, value=value))
    assert refused.value.where == f"invoice.json {where}"
    assert sentence in refused.value.sentence


def test_a_ratio_is_kept_exactly() -> None:
    document = placed(fields(), path=["lines", 0, "amount_exact"], value="2/3")
    assert dump(read(document))["lines"][0]["amount_exact"] == "2/3"
