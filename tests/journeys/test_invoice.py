"""Previewing invoices by command: what is owed, as JSON, as PDF, and one line walked back.

Invariant: lines, discounts, net and tax add up in minor units, and what is only for the provider
never reaches the PDF.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pypdf
import pytest

from tests.journeys.made_files import (
    FORMATS,
    Json,
    Ran,
    book,
    card,
    event,
    rate_of,
    tokenworks,
    write_events,
    write_json,
)

FLOOR = {
    "unit": "output_tokens",
    "kind": "full",
    "unit_cost_per_mtok": "1",
    "utilization": "0.5",
    "variable_per_mtok": "0",
    "minimum_margin": "0.2",
    "revenue_share": "0",
    "floor": "2.5",
}
COST = {
    "pool": "main",
    "promise": "no promise",
    "reference_input_tokens": 1000,
    "reference_output_tokens": 1000,
    "hardware": [],
    "floors": [FLOOR],
}
BOOK = book(
    {
        **card(rate_of("input_tokens", "1"), rate_of("output_tokens", "3")),
        "cost": COST,
    }
)
AGREEMENT = """schema: tokenworks.agreement/1
account: a
version: 3
series: s
currency: USD
zone: Europe/Berlin
effective_from: "2026-09-01T00:00:00Z"
issuer: {name: Example Tokens GmbH}
bill_to: {name: Acme Robotics GmbH}
payment_terms_days: 30
tax: {category: S, rate_percent: "19"}
discounts:
  - {id: launch, description: Launch discount, percent: "20", units: [output_tokens]}
"""
EVENTS = [
    event(1, {"input_tokens": 1_234_567, "output_tokens": 2_000_000}),
    event(2, {"input_tokens": 1, "web_searches": 4}),
    event(3, {"input_tokens": 10**9}, account="b"),
]


def _preview(
    folder: Path,
    *flags: str,
    events: list[Json] = EVENTS,
    agreement: str = AGREEMENT,
    form: str = "jsonl",
    value: Json = BOOK,
    period: str = "2026-10-01/2026-11-01",
) -> Ran:
    path = folder / "agreement.yaml"
    path.write_text(agreement, encoding="utf-8")
    return tokenworks(
        *("invoice", "preview", "--agreement", path, "--period", period),
        *("--price-book", write_json(folder / "book.json", value)),
        *("--usage", write_events(folder, events, form=form)),
        *flags,
    )


def _pdf_text(path: Path) -> str:
    data = path.read_bytes()
    assert data.startswith(b"%PDF-")
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    return "\n".join(page.extract_text() for page in pages)


def test_an_invoice_adds_up_line_by_line(tmp_path: Path) -> None:
    # Input 1,234,568 at 1 = 1.234568; output 2,000,000 at 3 = 6; 20 % of 6 = -1.20 off.
    # Net 6.034568 -> 603 cents. Floors 123 + 600 - 120 = 603: no unit is left over.
    # Tax 19 % of 603 = 114.57 -> 115. Total 718.
    ran = _preview(tmp_path, "--format", "json")
    assert ran.code == 0
    invoice = ran.json
    lines = invoice["lines"]
    assert [(one["kind"], one["amount_exact"], one["amount_minor"]) for one in lines] == [
        ("usage", "1.234568", 123),
        ("usage", "6", 600),
        ("discount", "-1.2", -120),
    ]
    assert lines[2]["applies_to"] == [2]
    assert (invoice["usage_minor"], invoice["discount_minor"]) == (723, -120)
    totals = (invoice["net_minor"], invoice["tax_minor"], invoice["total_minor"])
    assert totals == (603, 115, 718)
    assert (invoice["status"], invoice["account"], invoice["agreement_version"]) == (
        "preview",
        "a",
        3,
    )


def test_prices_with_tax_take_it_out_of_the_rounded_gross(tmp_path: Path) -> None:
    # Gross 603; tax 603 x 19 / 119 = 96.27... -> 96; net 507.
    agreement = AGREEMENT + "prices_include_tax: true\n"
    invoice = _preview(tmp_path, "--format", "json", agreement=agreement).json
    assert (invoice["net_minor"], invoice["tax_minor"], invoice["total_minor"]) == (507, 96, 603)


def test_the_same_usage_in_any_format_is_the_same_invoice(tmp_path: Path) -> None:
    seen = set()
    for form in FORMATS:
        pdf = tmp_path / f"{form}.pdf"
        ran = _preview(tmp_path, "--format", "json", "--pdf", str(pdf), form=form)
        seen.add((ran.out, pdf.read_bytes()))
    assert len(seen) == 1


def test_the_pdf_holds_the_total_and_nothing_that_is_only_for_the_provider(tmp_path: Path) -> None:
    pdf = tmp_path / "a.pdf"
    ran = _preview(tmp_path, "--pdf", str(pdf))
    assert ran.code == 0
    assert f"wrote {pdf}" in ran.err
    assert "net 603, tax 115, total 718 minor units of USD (2 decimals)" in ran.err
    # Output at 3 less 20 % is 2.40, under its floor of 2.50.
    finding = (
        "m in standard: output_tokens at 2.4 per million after discounts is under its floor of 2.5"
    )
    assert f"finding: {finding} (book 1)" in ran.err
    text = _pdf_text(pdf)
    assert "7.18" in text
    assert "Acme Robotics GmbH" in text
    assert "floor" not in text.lower()
    assert "2.5 " not in text


@pytest.mark.parametrize("percent, under", [("16.6", False), ("16.7", True)])
def test_a_rate_exactly_at_its_floor_is_no_finding(
    tmp_path: Path, percent: str, under: bool
) -> None:
    # 3 less 16.6 % is 2.502, over 2.5; less 16.7 % it is 2.499. At the floor itself: 2 less 0 %.
    agreement = AGREEMENT.replace('"20"', f'"{percent}"')
    ran = _preview(tmp_path, "--format", "json", agreement=agreement)
    assert bool(ran.json["findings"]) is under


def test_a_floor_met_exactly_is_met(tmp_path: Path) -> None:
    # 3.125 less 20 % is 2.5, the floor.
    cards = {**card(rate_of("output_tokens", "3.125")), "cost": COST}
    ran = _preview(tmp_path, "--format", "json", value=book(cards))
    assert ran.json["findings"] == []


def test_usage_without_a_rate_is_shown_and_in_no_total(tmp_path: Path) -> None:
    pdf = tmp_path / "a.pdf"
    ran = _preview(tmp_path, "--format", "json", "--pdf", str(pdf))
    (left,) = ran.json["unpriced"]
    assert (left["unit"], left["quantity"]) == ("web_searches", 4)
    assert "unpriced: 4 web_searches of m in standard: book 1 has no rate for" in ran.err
    assert "web" in _pdf_text(pdf).lower()


def test_a_usage_line_is_walked_down_to_its_book_and_cost(tmp_path: Path) -> None:
    walk = _preview(tmp_path, "--explain", "2", "--format", "json").json
    assert walk["kind"] == "line"
    assert walk["sentence"].endswith("600 minor units of 6 USD exactly")
    (charge,) = walk["rests_on"]
    assert charge["sentence"] == "2,000,000 x 3 / 1,000,000 = 6"
    assert [step["kind"] for step in charge["rests_on"]] == ["price book", "rate"]
    floor = charge["rests_on"][1]["rests_on"][-1]
    assert floor["sentence"] == "full floor 2.5 per Mtok = (1 / 0.5 + 0) / (1 - 0.2 - 0)"


def test_a_discount_line_is_walked_to_the_agreement(tmp_path: Path) -> None:
    ran = _preview(tmp_path, "--explain", "3")
    assert ran.text.splitlines() == [
        "line: line 3, Launch discount (20 %): -1.2 USD exactly = -20 % of the exact amounts of "
        "lines 2",
        "└─ agreement: discount launch of version 3 of the agreement of a",
    ]


@pytest.mark.parametrize("line", ["0", "4", "-1"])
def test_a_line_that_is_not_there_writes_no_pdf(tmp_path: Path, line: str) -> None:
    pdf = tmp_path / "a.pdf"
    ran = _preview(tmp_path, "--explain", line, "--pdf", str(pdf))
    assert ran.sentence == f"invoice: has no line {line}; it has 1 to 3"
    assert not pdf.exists()


# The period and the agreement.


@pytest.mark.parametrize(
    "zone, first, last",
    [
        # Berlin is at +02:00 on 1 October and at +01:00 on 1 November.
        ("Europe/Berlin", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ("America/New_York", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"),
        ("UTC", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        # Lord Howe Island moves its clocks by half an hour, on 4 October 2026.
        ("Australia/Lord_Howe", "2026-09-30T13:30:00Z", "2026-10-31T13:00:00Z"),
    ],
)
def test_days_are_counted_in_the_zone_of_the_agreement(
    tmp_path: Path, zone: str, first: str, last: str
) -> None:
    agreement = AGREEMENT.replace("Europe/Berlin", zone)
    value = {**BOOK, "effective_from": "2026-09-01T00:00:00Z"}
    # One token at the first moment of the period and 10 at the first after it.
    events = [
        event(1, {"input_tokens": 1}, time=first),
        event(2, {"input_tokens": 10}, time=last),
    ]
    ran = _preview(tmp_path, "--format", "json", agreement=agreement, events=events, value=value)
    assert ran.json["period"] == {"start_at": first, "end_at": last, "zone": zone}
    assert [one["quantity"] for one in ran.json["lines"]] == [1]


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("version: 3", "version: 0", "agreement.yaml:3 version: "),
        ("Europe/Berlin", "Mars/Olympus", 'agreement.yaml:6 zone: "Mars/Olympus" is not an IANA'),
        ('"20"', '"100.5"', "agreement.yaml:13 discounts[0]: percent must lie over 0 and up to"),
        ('"20"', "20", "agreement.yaml:13 discounts[0].percent: must be a string in quotes"),
        ('"19"', '"0"', "agreement.yaml:11 tax: category S has a rate_percent over 0"),
        ("category: S", "category: X", "agreement.yaml:11 tax.category: "),
        ("[output_tokens]", "[tokens]", 'discounts[0].units[0]: "tokens" is not a unit'),
        ("series: s", "series: t", "agreement: follows t in USD, but the price book is s in USD"),
        ("currency: USD", "currency: EUR", "agreement: follows s in EUR, but the price book is s"),
        ("2026-09-01", "2026-10-15", "agreement: is in effect from 2026-10-15T00:00:00Z, after"),
    ],
)
def test_an_agreement_that_does_not_fit_is_one_sentence(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in AGREEMENT
    pdf = tmp_path / "a.pdf"
    agreement = AGREEMENT.replace(old, new)
    assert said in _preview(tmp_path, "--pdf", str(pdf), agreement=agreement).sentence
    assert not pdf.exists()


def test_two_discounts_over_100_percent_of_one_charge_are_refused(tmp_path: Path) -> None:
    more = '  - {id: more, description: More, percent: "80.1"}\n'
    sentence = _preview(tmp_path, agreement=AGREEMENT + more).sentence
    assert "the discounts launch, more together exceed 100 percent of one charge" in sentence


def test_100_percent_off_owes_nothing_and_no_negative_zero(tmp_path: Path) -> None:
    agreement = AGREEMENT.replace('percent: "20", units: [output_tokens]', 'percent: "100"')
    pdf = tmp_path / "a.pdf"
    ran = _preview(tmp_path, "--format", "json", "--pdf", str(pdf), agreement=agreement)
    assert (ran.json["net_minor"], ran.json["tax_minor"], ran.json["total_minor"]) == (0, 0, 0)
    assert "-0.00" not in _pdf_text(pdf)
    assert "\N{MINUS SIGN}0.00" not in _pdf_text(pdf)


def test_a_period_without_usage_is_an_invoice_of_zero(tmp_path: Path) -> None:
    pdf = tmp_path / "a.pdf"
    ran = _preview(tmp_path, "--format", "json", "--pdf", str(pdf), period="2027-01-01/2027-02-01")
    assert (ran.code, ran.json["lines"], ran.json["total_minor"]) == (0, [], 0)
    assert "0.00" in _pdf_text(pdf)


# Rows and shapes.


def test_a_refused_row_is_named_and_the_invoice_is_made(tmp_path: Path) -> None:
    bad = event(9, {"input_tokens\u001b[31m": 1})
    ran = _preview(tmp_path, "--format", "json", events=[*EVENTS, bad])
    assert (ran.code, ran.json["total_minor"]) == (1, 718)
    refused = [line for line in ran.err.splitlines() if line.startswith("tokenworks: ")]
    assert len(refused) == 1
    assert refused[0].startswith("tokenworks: usage.jsonl:4: ")
    assert refused[0].isprintable()


def test_a_file_without_any_event_makes_no_invoice(tmp_path: Path) -> None:
    ran = _preview(tmp_path, events=[event(1, {"input_tokens": -1})])
    assert ran.sentence.startswith("usage.jsonl: holds no usage event: all 1 rows are refused")


def test_table_and_csv_show_the_lines(tmp_path: Path) -> None:
    rows = _preview(tmp_path, "--format", "csv").text.splitlines()
    assert rows[0] == "line,description,quantity,rate,amount_minor"
    assert rows[1] == '1,"m, standard: input tokens",1234568,"1 per 1,000,000",123'
    assert rows[3] == "3,Launch discount (20 %),,20 %,-120"
    table = _preview(tmp_path).text
    assert "1,234,568" in table
    assert json.dumps(-120) in table


def test_a_description_that_a_spreadsheet_would_run_is_neutralised(tmp_path: Path) -> None:
    agreement = AGREEMENT.replace("description: Launch discount", 'description: "=1+1"')
    rows = _preview(tmp_path, "--format", "csv", agreement=agreement).text.splitlines()
    assert rows[3] == "3,'=1+1 (20 %),,20 %,-120"


def test_a_preview_of_an_account_without_usage_says_so(tmp_path: Path) -> None:
    agreement = AGREEMENT.replace("account: a\n", "account: aa\n")
    ran = _preview(tmp_path, "--format", "json", agreement=agreement)
    assert (ran.code, ran.json["lines"], ran.json["total_minor"]) == (0, [], 0)
    assert ran.err == "usage.jsonl holds no usage of aa in the period, so nothing is due\n"
