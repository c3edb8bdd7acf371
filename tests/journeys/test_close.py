"""From events to a finalized, verified, explained invoice, by command alone.

Invariant: each command may be run again, and what it says as JSON is what the next one reads.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from scripts import close_period, generate_invoices
from tests.billing.operations.made_store import agreement_text, ladder_books
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import Json, Ran, event, tokenworks, write_events, write_json

M = 1_000_000
BEFORE = "2026-10-02T00:00:00Z"
AFTER = "2026-10-20T00:00:00Z"
SEPTEMBER = "2026-09-01T00:00:00Z"
NOVEMBER = "2026-11-02T00:00:00Z"
LATER = "2026-11-05T00:00:00Z"
DECEMBER = "2026-12-02T00:00:00Z"


def _run(store: Path, *words: str | Path, now: str | None = NOVEMBER, by: str | None = "d") -> Ran:
    flags = [*(("--by", by) if by else ()), *(("--now", now) if now else ())]
    return tokenworks(*words, "--store", store, *flags)


def _json(store: Path, *words: str | Path, now: str | None = None, by: str | None = None) -> Json:
    ran = _run(store, *words, "--format", "json", now=now, by=by)
    assert ran.code == 0, ran.err
    return ran.json


def _deliver(store: Path, name: str, *events: Json, now: str = NOVEMBER) -> None:
    folder = store.parent / name
    folder.mkdir()
    ran = _run(store, "ingest", write_events(folder, events, form="jsonl"), now=now)
    assert ran.code == 0, ran.err


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    """A store with the ladder example: two books, an agreement, 8M before and 5M after."""
    store = tmp_path / "billing.db"
    assert tokenworks("db", "upgrade", "--store", store).code == 0
    for i, value in enumerate(ladder_books()):
        path = write_json(tmp_path / f"book-{i}.json", {**value, "published_at": SEPTEMBER})
        assert _run(store, "price", "load", path, now=SEPTEMBER).code == 0
    agreement = tmp_path / "a.yaml"
    agreement.write_text(agreement_text(), encoding="utf-8")
    assert _run(store, "agreement", "accept", agreement, now=SEPTEMBER).code == 0
    _deliver(
        store,
        "october",
        event(1, {"input_tokens": 8 * M}, time=BEFORE),
        event(2, {"input_tokens": 5 * M}, time=AFTER),
    )
    return store


def test_the_ladder_example_is_invoiced_and_corrected(ladder: Path) -> None:
    # 8M at 2 + 2M at 1.80 + 3M at .90 = 22.30.
    closed = _json(ladder, "close", "--period", "2026-10", now=NOVEMBER, by="d")
    (period,) = closed["periods"]
    assert (period["state"], period["total_minor"]) == ("invoiced", 2230)
    first = _json(ladder, "invoice", "show", period["number"])
    assert first["lines"][0]["amount_exact"] == "22.3"

    # A late 3M before the change: 10M at 2 + 1M at 1 + 5M at .90 = 25.50, so 3.20 is due.
    late = event(3, {"input_tokens": 3 * M}, time=BEFORE)
    _deliver(ladder, "late", late, now=LATER)
    closed = _json(ladder, "close", "--period", "2026-11", now=DECEMBER, by="d")
    (period,) = closed["periods"]
    assert (period["total_minor"], period["corrections"]) == (320, 1)
    second = _json(ladder, "invoice", "show", period["number"])
    (correction,) = second["lines"]
    assert correction["corrects"] == first["number"]
    assert (correction["amount_exact"], correction["amount_minor"]) == ("3.2", 320)

    verified = _json(ladder, "verify")
    assert (verified["holds"], verified["damage"]) == (True, [])
    listed = _json(ladder, "invoice", "list")
    assert [one["number"] for one in listed["invoices"]] == [first["number"], second["number"]]


def test_a_stored_invoice_is_listed_in_pages_explained_and_printed(
    ladder: Path, tmp_path: Path
) -> None:
    _json(ladder, "close", "--period", "2026-10", now=NOVEMBER, by="d")
    _deliver(ladder, "late", event(3, {"input_tokens": 3 * M}, time=BEFORE), now=LATER)
    _json(ladder, "close", "--period", "2026-10", now=LATER, by="d")
    page = _json(ladder, "invoice", "list", "--limit", "1")
    assert page["next_after"] == "INV-2026-000001"
    rest = _json(ladder, "invoice", "list", "--after", page["next_after"])
    assert [one["number"] for one in rest["invoices"]] == ["INV-2026-000002"]
    assert "next_after" not in rest

    walk = _json(ladder, "invoice", "explain", "INV-2026-000002", "--line", "1")
    assert walk["rests_on"][0]["sentence"].startswith("corrects invoice INV-2026-000001")
    pdf = tmp_path / "second.pdf"
    assert _json(ladder, "invoice", "pdf", "INV-2026-000002", "--out", pdf)["file"] == str(pdf)
    text = "".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.read_bytes())).pages
    )
    assert "INV-2026-000002" in text
    assert "3.20" in text


def test_a_dry_run_and_a_second_run_write_nothing(ladder: Path) -> None:
    shown = _json(ladder, "close", "--period", "2026-10", "--dry-run", now=NOVEMBER, by="d")
    assert (shown["dry_run"], shown["periods"][0]["state"]) == (True, "would invoice")
    assert _json(ladder, "invoice", "list")["invoices"] == []
    _json(ladder, "close", "--period", "2026-10", now=NOVEMBER, by="d")
    again = _json(ladder, "close", "--period", "2026-10", now=LATER, by="d")
    assert again["periods"][0]["state"] == "invoiced before"
    assert len(_json(ladder, "invoice", "list")["invoices"]) == 1


def test_unpriced_usage_blocks_until_it_is_waived(ladder: Path) -> None:
    _deliver(ladder, "odd", event(7, {"web_searches": 2}))
    ran = _run(ladder, "close", "--period", "2026-10")
    assert ran.code == 1
    assert "tokenworks: a: 2 web_searches of m in standard are unpriced" in ran.err
    waived = _json(
        ladder,
        *("waive", "a", "--period", "2026-10", "--model", "m", "--service-tier", "standard"),
        *("--unit", "web_searches", "--reason", "a trial"),
        now=NOVEMBER,
        by="d",
    )
    assert [one["new"] for one in waived] == [True]
    assert _run(ladder, "close", "--period", "2026-10").code == 0


def test_an_epoch_is_sealed_once(ladder: Path) -> None:
    first = _json(ladder, "seal", now=NOVEMBER, by="d")
    second = _json(ladder, "seal", now=LATER, by="d")
    assert first == {"epoch": 1, "sealed_at": NOVEMBER, "new": True}
    assert second == {"epoch": 1, "sealed_at": NOVEMBER, "new": False}


def test_a_published_book_goes_straight_into_a_store(ladder: Path, tmp_path: Path) -> None:
    fields = {"number": 3, "effective_from": "2027-01-01T00:00:00Z"}
    candidate = write_json(tmp_path / "candidate.json", {**ladder_books()[0], **fields})
    words = ("price", "publish", candidate, "--published-at", NOVEMBER)
    for _ in range(2):
        ran = _run(ladder, *words, "--out", tmp_path / "book-3.json")
        assert ran.code == 0, ran.err
    assert "s number 3 was stored before" in ran.err


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("close", "--period", "October"), "October"),
        (("invoice", "show", "INV-2026-000009"), "invoice INV-2026-000009: there is no invoice"),
        (("invoice", "show", "9"), "invoice 9: is not a number such as INV-2026-000001"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    ladder: Path, words: tuple[str, ...], sentence: str
) -> None:
    writes = words[0] == "close"
    ran = _run(ladder, *words, now=NOVEMBER if writes else None, by="d" if writes else None)
    assert sentence in ran.sentence


def test_the_jobs_close_a_month_and_write_its_invoices(
    ladder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    closing = ["--store", str(ladder), "--period", "2026-10", "--by", "cron", "--now", NOVEMBER]
    writing = ["--store", str(ladder), "--period", "2026-10", "--out", str(out)]
    assert close_period.main([*closing, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("2026-10 through epoch 1: 1 would invoice")
    # Twice: the second run finds everything done.
    for state in ("invoiced", "invoiced before"):
        assert close_period.main(closing) == 0
        assert f"1 {state}" in capsys.readouterr().out
        assert generate_invoices.main(writing) == 0
        assert "wrote 1 invoices of 2026-10" in capsys.readouterr().out
    names = ["INV-2026-000001.json", "INV-2026-000001.pdf"]
    assert sorted(path.name for path in out.iterdir()) == names
    document = json.loads((out / names[0]).read_bytes())
    assert document == _json(ladder, "invoice", "show", "INV-2026-000001")
    assert close_period.main([*closing, "--period", "x"]) == 2
    assert generate_invoices.main([*writing, "--period", "x"]) == 2


def test_a_job_runs_as_a_file(ladder: Path) -> None:
    job = REPOSITORY / "scripts" / "close_period.py"
    words = ["--store", str(ladder), "--period", "2026-10", "--by", "cron", "--dry-run"]
    ran = subprocess.run(
        [sys.executable, str(job), *words, "--now", NOVEMBER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
