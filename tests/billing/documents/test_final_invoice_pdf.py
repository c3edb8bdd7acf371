"""The final invoice as a PDF: its number and issue date, and the lines that correct earlier ones.

Invariant: a correction says which invoice and which period it corrects, and shows its sign.
"""

from __future__ import annotations

import io
from typing import Any

import pypdf

from billing.documents import render_invoice
from billing.documents.invoice_view import MINUS
from billing.domain.invoice.invoice import Invoice
from tests.billing.documents.made_invoice import (
    CORRECTED_DISCOUNT,
    CORRECTION_LINE,
    DISCOUNT_LINE,
    FINAL,
    USAGE_LINE,
    invoice,
)

LINES = [USAGE_LINE, DISCOUNT_LINE, CORRECTION_LINE, CORRECTED_DISCOUNT]


def read(document: Invoice) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(render_invoice(document)))


def printed(document: Invoice) -> str:
    whole = " ".join(page.extract_text() for page in read(document).pages)
    return " ".join(whole.replace(MINUS, "-").split())


def created(document: Invoice) -> Any:
    metadata = read(document).metadata
    assert metadata is not None
    assert metadata.creation_date is not None
    return metadata.creation_date.date().isoformat()


def test_a_final_invoice_shows_its_number_and_the_day_of_its_issue() -> None:
    text = printed(invoice(FINAL))
    assert "2026-000042 Bill to" in text
    assert "Issue date 2 Nov 2026 Account acme" in text
    assert "Issue date" not in printed(invoice())
    assert created(invoice(FINAL)) == "2026-11-02"


def test_the_day_of_issue_is_that_of_the_zone_of_the_period() -> None:
    # 23:30 UTC of the 2nd is 8:30 of the 3rd in Tokyo.
    period = {
        "start_at": "2026-10-01T00:00:00Z",
        "end_at": "2026-11-01T00:00:00Z",
        "zone": "Asia/Tokyo",
    }
    found = invoice({**FINAL, "period": period})
    assert "Issue date 3 Nov 2026" in printed(found)
    assert created(found) == "2026-11-03"


def test_corrections_name_what_they_correct_and_show_their_sign() -> None:
    # 30.86 - 3.09 - .50 + .05 = 27.32 (lines of the made invoice share another cent); 19 % of it
    # is 5.1908.
    text = printed(invoice({**FINAL, "lines": LINES}))
    for expected in [
        "3 Correction of 2026-000041: gpt-oss-120b, standard: output tokens",
        "for 1 Sep 2026 to 30 Sep 2026 (UTC): 0 now, 0.5 invoiced before",
        "-2,000,000 -0.50",
        "4 Correction of 2026-000041: Launch discount 10 %",
        "0 now, -0.05 invoiced before",
        "10 % 0.05",
        "Discounts -3.09 Corrections -0.45 Net 27.32",
        "Tax 19 % (standard rate) on 27.32 5.19",
    ]:
        assert expected in text


def test_a_preview_of_corrections_shows_them_too() -> None:
    text = printed(invoice({"lines": LINES}))
    assert "INVOICE PREVIEW" in text
    assert "Corrections -0.45" in text


def test_an_invoice_that_owes_the_account_shows_a_negative_total() -> None:
    # -.50, and 19 % of it, -.095, -.10 away from zero
    text = printed(invoice({**FINAL, "lines": [{**CORRECTION_LINE, "line": 1}]}))
    assert "Subtotal 0.00 Corrections -0.50 Net -0.50" in text
    assert "Total (USD) -0.60" in text
