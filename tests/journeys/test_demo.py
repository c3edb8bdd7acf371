"""The demo from end to end: what it promises, keeps and prints.

Invariant: no token of the trace is lost on the way to the invoices, and the same inputs leave the
same bytes.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pypdf
import pytest

from billing.cli.demo.documents import ACCOUNTS, SERIES, demo_documents
from tests.journeys.made_files import Json, Ran, tokenworks

NUMBERS = tuple(f"INV-2026-{number:06d}" for number in range(1, 9))
LEFT = {
    *demo_documents(),
    *(f"candidate-{series}.json" for series in SERIES),
    *(f"book-{series}.json" for series in SERIES),
    *("trace.csv", "usage.parquet", "late.parquet", "rating.json", "preview.json"),
    *("billing.db", "explained.txt"),
    *(f"{number}.pdf" for number in NUMBERS),
}
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
REQUEST = "2023-11-16 18:17:03.9799600,10,5\n"


def _read(path: Path) -> Json:
    return json.loads(path.read_bytes())


def _invoice(folder: Path, number: str) -> Json:
    store = folder / "billing.db"
    return tokenworks("invoice", "show", number, "--store", store, "--format", "json").json


def _billed(folder: Path) -> dict[str, int]:
    """Every token that the invoices of the store bill or correct, by unit."""
    found: Counter[str] = Counter()
    listed = tokenworks("invoice", "list", "--store", folder / "billing.db", "--format", "json")
    for one in listed.json["invoices"]:
        for line in _invoice(folder, one["number"])["lines"]:
            if "unit" in line:
                found[line["unit"]] += line["quantity"]
    return dict(found)


def test_every_file_that_the_demo_promises_is_there(demo_run: tuple[Path, Ran]) -> None:
    folder, ran = demo_run
    assert {path.name for path in (folder / "demo-out").iterdir()} == LEFT
    named = set(re.findall(r"demo-out/[\w.-]+\w", ran.text))
    assert all((folder / name).exists() for name in named)


@pytest.mark.parametrize("series", SERIES)
def test_no_rate_lies_under_its_floor_without_a_finding(
    demo_run: tuple[Path, Ran], series: str
) -> None:
    book = _read(demo_run[0] / "demo-out" / f"book-{series}.json")
    findings = " ".join(finding["id"] for finding in book["findings"])
    compared = 0
    for card in book["rate_cards"]:
        floors = {floor["unit"]: Decimal(floor["floor"]) for floor in card["cost"]["floors"]}
        for rate in card["rates"]:
            about = f"under_floor:{card['model']}/{card['service_tier']}/{rate['unit']}"
            bands = rate["ladder"]["bands"] if "ladder" in rate else [rate]
            lowest = min(Decimal(band["rate"]) for band in bands)
            assert lowest >= floors[rate["unit"]] or about in findings
            compared += 1
    # 3 models x 3 service tiers x 3 units, each plain, long context, EU, and EU long context
    assert compared == 3 * 3 * 3 * 4


def test_each_finding_of_the_published_book_is_signed_off(demo_run: tuple[Path, Ran]) -> None:
    book = _read(demo_run[0] / "demo-out" / "book-demo.json")
    assert book["findings"]
    assert {f["id"] for f in book["findings"]} == {s["finding"] for s in book["sign_offs"]}


def test_the_tokens_of_the_invoices_are_those_of_the_trace(demo_run: tuple[Path, Ran]) -> None:
    folder = demo_run[0] / "demo-out"
    rows = [line.split(",") for line in (folder / "trace.csv").read_text().splitlines()[1:]]
    assert len(rows) == 20_000
    assert _billed(folder) == {
        "input_tokens": sum(int(row[1]) for row in rows),
        "output_tokens": sum(int(row[2]) for row in rows),
    }


def test_the_preview_from_files_is_the_invoice_of_the_store(demo_run: tuple[Path, Ran]) -> None:
    folder = demo_run[0] / "demo-out"
    preview, invoice = _read(folder / "preview.json"), _invoice(folder, NUMBERS[0])
    assert invoice["account"] == "acme"
    assert (preview["lines"], preview["total_minor"]) == (invoice["lines"], invoice["total_minor"])


def test_late_usage_is_a_correction_of_the_invoice_before(demo_run: tuple[Path, Ran]) -> None:
    folder = demo_run[0] / "demo-out"
    for account, first, second in zip(ACCOUNTS, NUMBERS[:4], NUMBERS[4:], strict=True):
        invoice = _invoice(folder, second)
        assert invoice["account"] == account
        assert {line["corrects"] for line in invoice["lines"]} == {first}
        before = sum(Fraction(one["amount_exact"]) for one in _invoice(folder, first)["lines"])
        change = sum(Fraction(one["amount_exact"]) for one in invoice["lines"])
        whole = before + change
        per_minor = 1 if invoice["currency"] == "JPY" else 100
        posted = sum(
            line["amount_minor"]
            for number in (first, second)
            for line in _invoice(folder, number)["lines"]
        )
        # Both invoices together owe the rounded whole, not two roundings.
        assert abs(posted - whole * per_minor) <= Fraction(1, 2)


def test_the_invoice_in_yen_has_no_decimals_and_the_zone_of_its_account(
    demo_run: tuple[Path, Ran],
) -> None:
    folder = demo_run[0] / "demo-out"
    invoice = _invoice(folder, NUMBERS[3])
    assert (invoice["currency"], invoice["minor_digits"]) == ("JPY", 0)
    # Its periods begin on the fifth: midnight in Tokyo is 15:00 the day before in UTC.
    assert invoice["period"]["start_at"] == "2026-10-04T15:00:00Z"
    pdf = pypdf.PdfReader(io.BytesIO((folder / f"{NUMBERS[3]}.pdf").read_bytes()))
    text = " ".join(" ".join(page.extract_text().split()) for page in pdf.pages)
    assert "5 Oct 2026 to 4 Nov 2026 (Asia/Tokyo)" in text
    assert f"Total (JPY) {invoice['total_minor']}" in text


def test_two_runs_leave_the_same_bytes(demo_run: tuple[Path, Ran], tmp_path: Path) -> None:
    # Another folder, with a space in its name: no path is part of any document.
    again = tmp_path / "another folder"
    assert tokenworks("demo", "--out", again).code == 0
    for name in sorted(LEFT - {"billing.db"}):
        assert (again / name).read_bytes() == (demo_run[0] / "demo-out" / name).read_bytes(), name
    for number in NUMBERS:
        assert _invoice(again, number) == _invoice(demo_run[0] / "demo-out", number)


def test_the_commands_that_it_prints_run_again_and_change_nothing(
    demo_run: tuple[Path, Ran], in_demo: Path
) -> None:
    folder = in_demo / "demo-out"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    invoices = [_invoice(folder, number) for number in NUMBERS]
    printed = [line for line in demo_run[1].text.splitlines() if line.startswith("$ tokenworks ")]
    assert len(printed) > 20
    for line in printed:
        words = shlex.split(line)[2:]
        if words[0] == "close":
            continue  # its moment lies before the last close by now; see the test after this one
        into = words[words.index(">") + 1] if ">" in words else None
        ran = tokenworks(*(words[: words.index(">")] if into else words))
        assert ran.code == 0, (line, ran.err)
        if into and into != "/dev/null":
            assert ran.out == Path(into).read_bytes(), line
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {"billing.db"}
    assert [_invoice(folder, number) for number in NUMBERS] == invoices


def test_closing_the_month_once_more_invoices_nothing(in_demo: Path) -> None:
    store = in_demo / "demo-out" / "billing.db"
    ran = tokenworks(
        *("close", "--period", "2026-10", "--store", store, "--by", "dana"),
        *("--now", "2026-12-05T00:00:00Z", "--format", "json"),
    )
    assert {one["state"] for one in ran.json["periods"]} == {"invoiced before"}
    assert tokenworks("verify", "--store", store).code == 0


@pytest.mark.usefixtures("measured")
def test_another_hash_seed_zone_and_locale_leave_the_same_bytes(tmp_path: Path) -> None:
    # 60 requests a second apart; one of them comes late, so that there is a correction, too.
    stamps = (f"2023-11-16 18:17:{second:02d}" for second in range(60))
    trace = tmp_path / "trace-of-a-minute.csv"
    trace.write_text(HEADER + "".join(f"{at},{9_000 + i},50\n" for i, at in enumerate(stamps)))
    elsewhere = {"PYTHONHASHSEED": "12345", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    for folder, changed in (("here", {"PYTHONHASHSEED": "1"}), ("there", elsewhere)):
        code = "from billing.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, "demo", "--usage", trace, "--out", tmp_path / folder],
            env={**os.environ, **changed},
            check=True,
            capture_output=True,
        )
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert sum(name.endswith(".pdf") for name in names) >= 5
    for name in sorted(names - {"billing.db"}):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


@pytest.mark.parametrize(
    "name, published",
    [("code", (8_819, 18_059_974, 245_896)), ("conv", (19_366, 22_361_870, 4_088_665))],
)
@pytest.mark.usefixtures("measured")
def test_the_azure_traces_keep_their_published_totals(
    shared_data: Path, tmp_path: Path, name: str, published: tuple[int, int, int]
) -> None:
    rows, input_tokens, output_tokens = published
    trace = shared_data / f"AzureLLMInferenceTrace_{name}_2023.csv"
    if not trace.is_file():
        pytest.skip(f"../shared/data/{trace.name} is absent")
    ran = tokenworks("demo", "--usage", trace, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert f"received {rows:,} = accepted {rows:,}" in ran.text
    assert "everything adds up" in ran.text + ran.err
    assert _billed(tmp_path / "out") == {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    assert not (tmp_path / "out" / "trace.csv").exists()


@pytest.mark.usefixtures("measured")
def test_a_bad_row_of_a_trace_is_named_and_the_others_are_billed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mixed.csv").write_text(HEADER + REQUEST + "2023-11-16 18:17:04,ten,5\n")
    ran = tokenworks("demo", "--usage", "mixed.csv", "--out", "my demo")
    assert ran.code == 1
    assert "mixed.csv:3: row 3 ContextTokens: must be a whole number" in ran.err
    assert _billed(Path("my demo")) == {"input_tokens": 10, "output_tokens": 5}


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--starting-at", "2026-01-31T23:59:59Z"], "must lie in a month after 2026-01-01"),
        (["--starting-at", "2026-12-01"], "--starting-at: must be a moment"),
        (["--starting-at", "2199-12-20T00:00:00Z"], "--starting-at: "),
        (["--usage", "absent.csv"], "absent.csv: cannot be read (no such file or directory)"),
        (["--usage", "other.csv"], 'other.csv:1: the header must be "TIMESTAMP,'),
        (["--usage", "none.csv"], "none.csv: holds no request; give a trace with at least one"),
    ],
)
def test_what_cannot_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.csv").write_text("a,b\n1,2\n")
    Path("none.csv").write_text(HEADER)
    assert said in tokenworks("demo", *flags).sentence
    assert not Path("demo-out").exists()
