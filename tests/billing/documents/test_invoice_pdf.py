"""The invoice as a PDF: what it prints, what it refuses, and that it never changes.

Invariant: figures are looked up in the text of the PDF as a reader would see them.
"""

from __future__ import annotations

import io
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pypdf
import pytest
import typst

from billing.documents import render_invoice
from billing.documents.invoice_view import MINUS
from billing.domain.invoice.invoice import Invoice
from pricing_rules.document import DocumentError
from tests.billing.documents.made_invoice import (
    BAND,
    BILL_TO,
    DIGEST,
    DISCOUNT_LINE,
    FINAL,
    INVOICE,
    NO_TAX,
    STANDARD_TAX,
    USAGE_LINE,
    invoice,
)

Fields = dict[str, Any]

UNPRICED: Fields = {
    "model": "llama-4",
    "service_tier": "batch",
    "unit": "input_tokens",
    "quantity": 5000,
    "scale": 1,
    "events": 12,
    "reason": "two rates claim it",
}


def billed_to(name: str) -> Invoice:
    return invoice({"bill_to": {**BILL_TO, "name": name}})


def usage_line(changes: Fields) -> Fields:
    return {**USAGE_LINE, **changes}


def band(changes: Fields) -> Fields:
    return {**BAND, "when": "", **changes}


def pages(pdf: bytes) -> list[str]:
    """The text of each page, with runs of space as one and a hyphen for each minus sign."""
    read = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return [" ".join(page.extract_text().replace(MINUS, "-").split()) for page in read]


def printed(document: Invoice) -> str:
    return " ".join(pages(render_invoice(document)))


def test_it_is_an_archival_pdf_on_a4() -> None:
    pdf = render_invoice(invoice())
    assert pdf.startswith(b"%PDF-")
    assert b"<pdfaid:part>3</pdfaid:part>" in pdf
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in pdf
    box = pypdf.PdfReader(io.BytesIO(pdf)).pages[0].mediabox
    assert (int(box.width), int(box.height)) == (595, 841)  # 210 x 297 mm in points


def test_the_same_invoice_gives_the_same_bytes_also_from_another_thread() -> None:
    first = render_invoice(invoice())
    assert render_invoice(invoice()) == first
    with ThreadPoolExecutor(max_workers=4) as pool:  # each thread has a compiler of its own
        assert set(pool.map(render_invoice, itertools.repeat(invoice(), 12))) == {first}


def test_its_date_is_the_end_of_the_period_and_not_the_clock() -> None:
    metadata = pypdf.PdfReader(io.BytesIO(render_invoice(invoice()))).metadata
    assert metadata is not None
    assert metadata.creation_date is not None
    assert metadata.creation_date.strftime("%Y-%m-%d") == "2026-11-01"
    assert metadata.title == "Invoice preview, acme, 1 Oct 2026 to 31 Oct 2026 (UTC)"


def test_it_prints_parties_period_lines_and_totals() -> None:
    text = printed(invoice())
    for expected in [
        "Northern Tokens GmbH Turmstraße 12 10559 Berlin Tax ID DE123456789",
        "billing@northern.example",
        "Acme Robotics 500 Market Street",
        "Account acme",
        "1 Oct 2026 to 31 Oct 2026 (UTC)",
        "2026-10-01T00:00:00Z to before 2026-11-01T00:00:00Z",
        "30 days from the date of the invoice",
        "# Description Quantity Rate (USD) Amount (USD)",
        "1 gpt-oss-120b, standard: output tokens 123,456,789 30.86",
        "when request_tokens>200000 123,456,789 0.25 per million 30.86419725",
        "2 Launch discount 10 %",
        "on line 1",
        "10 % -3.09",
        "Subtotal 30.86",
        "Discounts -3.09",
        "Net 27.77",
        "Tax 19 % (standard rate) on 27.77 5.28",
        "Total (USD) 33.05",
        f"usd 1 · {DIGEST}",
        "Page 1 of 1",
    ]:
        assert expected in text


def test_a_preview_says_on_each_page_that_it_is_none_and_an_invoice_has_its_number() -> None:
    lines = [usage_line({"line": number}) for number in range(1, 61)]
    shown = pages(render_invoice(invoice({"lines": lines})))
    assert len(shown) > 1
    assert all("INVOICE PREVIEW – not a tax invoice" in page for page in shown)
    final = printed(invoice(FINAL))
    assert "PREVIEW" not in final
    assert "2026-000042" in final


def test_two_hundred_lines_run_over_pages_with_the_head_on_each() -> None:
    lines = [
        usage_line({"line": number, "description": f"model-{number}, batch: input tokens"})
        for number in range(1, 201)
    ]
    shown = pages(render_invoice(invoice({"lines": lines})))
    assert len(shown) > 3
    assert all(f"Page {n} of {len(shown)}" in page for n, page in enumerate(shown, start=1))
    assert all("Description Quantity" in page for page in shown if "input tokens" in page)
    whole = " ".join(shown)
    assert all(f" {number} model-{number}, batch" in whole for number in range(1, 201))
    assert "Total (USD) 7,344.68" in shown[-1]  # 200 * 30.86 = 6,172.00; 19 % of it = 1,172.68


def test_a_line_stays_on_one_page_with_its_bands() -> None:
    bands = [band({"quantity": 7, "amount": "0.00000175"}) for _ in range(5)]
    lines = [usage_line({"line": n, "description": f"m-{n}", "bands": bands}) for n in range(1, 31)]
    for page in pages(render_invoice(invoice({"lines": lines}))):
        assert page.count("Band 5") == page.count("Band 1") == page.count("m-")


@pytest.mark.parametrize(
    "name",
    [
        "#eval(sys.inputs)",
        "$x$ *bold* _thin_",
        "<label> @label",
        "`raw` \\ // not a comment",
        "#panic() ] [ } { )",
        '"quoted" = #{1+1}',
        "-- --- ... ~ it's",
        "Ελληνική Εταιρεία",
        "Завод «Ромашка»",
        "Łódź İstanbul Đà Nẵng",
        "株式会社トークン工場 髙橋",
        "北京令牌有限公司",
        "삼성전자",
    ],
)
def test_a_name_is_printed_as_it_stands(name: str) -> None:
    assert name in printed(billed_to(name))


@pytest.mark.parametrize("name", ["חברת האסימונים", "شركة الرموز", "टोकन कंपनी", "บริษัท โทเค็น"])
def test_other_scripts_are_set_without_a_missing_glyph(name: str) -> None:
    # Readers order and compose these differently; what counts is that none is refused.
    text = printed(billed_to(name))
    assert set(name) & set(text) - {" "}


@pytest.mark.parametrize(
    "name, where, sentence",
    [
        ("Token 😀 Ltd", "invoice bill_to.name", 'no font has "😀" (U+1F600, GRINNING FACE)'),
        ("საქმე", "invoice bill_to.name", 'no font has "ს" (U+10E1, GEORGIAN LETTER SAN)'),
        ("x\u20dd", "invoice bill_to.name", "U+20DD, COMBINING ENCLOSING CIRCLE"),
        ("\ue000", "invoice bill_to.name", "U+E000, a character without a name"),
    ],
)
def test_a_character_that_no_font_has_is_refused_by_name(
    name: str, where: str, sentence: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        render_invoice(billed_to(name))
    assert refused.value.where == where
    assert sentence in refused.value.sentence


def test_a_missing_character_in_a_line_is_refused_with_the_line() -> None:
    lines = [USAGE_LINE, {**DISCOUNT_LINE, "description": "Launch 🚀"}]
    with pytest.raises(DocumentError, match=r"invoice lines\[1\]\.description: .*ROCKET"):
        render_invoice(invoice({"lines": lines}))


def test_a_missing_character_of_what_is_not_printed_is_not_looked_at() -> None:
    unprinted = {
        "findings": ["under its floor 🚀"],
        "lines": [USAGE_LINE, {**DISCOUNT_LINE, "discount_id": "🚀"}],
    }
    assert "Launch discount" in printed(invoice(unprinted))
    with pytest.raises(DocumentError, match=r"^invoice bill_to\.name: "):
        render_invoice(invoice({**unprinted, "bill_to": {"name": "🚀"}}))
    with pytest.raises(DocumentError, match=r"^invoice unpriced\[0\]\.reason: "):
        render_invoice(invoice({**unprinted, "unpriced": [{**UNPRICED, "reason": "🚀"}]}))


def test_a_fault_of_the_template_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.documents.invoice_pdf._TEMPLATE", b"#no-such-function()")
    with pytest.raises(typst.TypstError, match="unknown variable"):
        render_invoice(billed_to("株式会社"))


def test_a_name_without_spaces_wraps_within_its_column() -> None:
    # The column is 74 mm = 210 points wide, a W of this size about 10 points: 21 fit in a row.
    page = pypdf.PdfReader(io.BytesIO(render_invoice(billed_to("W" * 200)))).pages[0]
    rows = page.extract_text().replace("\u200b", "").splitlines()
    wrapped = [len(row.strip()) for row in rows if "WWW" in row]
    assert sum(wrapped) == 200
    assert max(wrapped) <= 22


def test_a_long_account_issuer_or_number_is_cut_in_the_margins_of_each_page() -> None:
    lines = [usage_line({"line": number}) for number in range(1, 41)]
    issuer = {**INVOICE["issuer"], "name": "I" + "W" * 199}
    long = {"lines": lines, "account": "a" + "W" * 199, "issuer": issuer}
    previews = pypdf.PdfReader(io.BytesIO(render_invoice(invoice(long)))).pages
    assert len(previews) > 1
    head = _rows_without_lines(previews[1])
    # One row each: 98 mm = 278 points less the dates hold some 18 W of 8 points, 130 mm some 46.
    account, issued = (next(row for row in head if row.startswith(by)) for by in ("aW", "IW"))
    assert "W… · 1 Oct 2026 to 31 Oct 2026 (UTC)" in account
    assert 10 < account.count("W") < 25
    assert "W… Page 2 of 3" in issued
    assert 35 < issued.count("W") < 55
    assert sum("WWW" in row for row in head) == 2
    final = {**long, **FINAL, "account": "acme", "number": "n" + "W" * 199}
    shown = pages(render_invoice(invoice(final)))[1].replace("\u200b", "")
    assert "acme · 1 Oct 2026 to 31 Oct 2026 (UTC)" in shown
    assert "Invoice nWWW" in shown
    assert shown.count("W…") == 2


def _rows_without_lines(page: pypdf.PageObject) -> list[str]:
    text = page.extract_text().replace("\u200b", "")  # where a word of the first page may break
    return [row.strip() for row in text.splitlines() if "tokens" not in row]


def test_a_long_name_that_fits_is_copied_from_the_pdf_without_invisible_characters() -> None:
    assert "Donaudampfschifffahrtsgesellschaft" in printed(
        billed_to("Donaudampfschifffahrtsgesellschaft")
    )


def test_a_currency_without_decimals_and_one_with_three() -> None:
    lines = [usage_line({"amount_minor": 1234567})]
    yen = printed(invoice({"currency": "JPY", "lines": lines, "taxes": [NO_TAX]}))
    assert "Total (JPY) 1,234,567" in yen
    assert "1,234,567." not in yen
    dinar = printed(invoice({"currency": "KWD", "lines": lines, "taxes": [NO_TAX]}))
    assert "Total (KWD) 1,234.567" in dinar


def test_bands_with_flat_amounts_are_shown_under_their_line() -> None:
    # 10M at 2 = 20; 1M at 1.50 + a flat 5.50 = 7.
    bands = [
        band({"quantity": 10_000_000, "rate": "2", "amount": "20"}),
        band({"book_number": 2, "quantity": 1_000_000, "rate": "1.50", "flat": "5.50"}),
    ]
    books = [{"series": "usd", "number": number, "digest": DIGEST} for number in (1, 2)]
    text = printed(invoice({"lines": [usage_line({"bands": bands})], "price_books": books}))
    assert "Band 1, price book 1 10,000,000 2 per million 20" in text
    assert "Band 2, price book 2 1,000,000 1.50 per million + 5.5 flat" in text
    assert "these published price books" in text
    alone = printed(invoice({"lines": [usage_line({"bands": [band({"flat": "3"})]})]}))
    assert "With a flat amount 123,456,789 0.25 per million + 3" in alone


def test_a_single_plain_rate_stands_in_its_line() -> None:
    lines = [usage_line({"bands": [band({"rate": "0.052"})]})]
    text = printed(invoice({"lines": lines}))
    assert "output tokens 123,456,789 0.052 per million 30.86" in text
    assert "30.86419725" not in text


def test_an_empty_invoice_says_that_there_are_no_charges() -> None:
    text = printed(invoice({"lines": [], "taxes": [], "price_books": []}))
    assert "No charges in this period." in text
    assert "Discounts" not in text


def test_taxes_are_shown_by_category_with_their_notes() -> None:
    # 27.77 gross, 1.00 of it without tax; 26.77 * 19 / 119 = 4.274..., 4.27 tax and 22.50 net.
    reverse = {"category": "AE", "rate_percent": "0", "taxed_minor": 100}
    taxes = [STANDARD_TAX, {**reverse, "note": "The recipient owes the tax."}]
    text = printed(invoice({"taxes": taxes, "prices_include_tax": True}))
    assert "Net 23.50" in text
    assert "Tax 19 % (standard rate) on 22.50 4.27" in text
    assert "Tax 0 % (reverse charge) on 1.00 The recipient owes the tax. 0.00" in text
    assert "Total tax 4.27" in text
    assert "Total (USD) 27.77" in text
    assert "Subtotal (tax included) 30.86" in text
    assert "Rates and line amounts include tax." in text


def test_unpriced_usage_is_a_warning_and_findings_are_not_shown() -> None:
    text = printed(invoice({"unpriced": [UNPRICED], "findings": ["rate is under its floor"]}))
    assert "Usage without a price: not in the total" in text
    assert "llama-4, batch, input_tokens 5,000 12 two rates claim it" in text
    assert "floor" not in text
    assert "Usage without a price" not in printed(invoice())


@pytest.mark.parametrize(
    "start, end, zone, shown",
    [
        # Berlin is at +02:00 on 1 October and at +01:00 on 1 November.
        ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "Europe/Berlin", "1 Oct to 31 Oct"),
        ("2026-10-01T06:30:00Z", "2026-10-15T12:00:00Z", "UTC", "1 Oct 06:30 to 15 Oct 12:00"),
        ("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z", "UTC", "1 Oct to 1 Oct"),
    ],
)
def test_the_period_is_shown_with_its_last_day_in_its_zone(
    start: str, end: str, zone: str, shown: str
) -> None:
    text = printed(invoice({"period": {"start_at": start, "end_at": end, "zone": zone}}))
    assert f"{shown.replace('Oct', 'Oct 2026')} ({zone})" in text
