"""Events are corrected by command, and the next invoice says what that changes, to the cent."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pypdf
import pytest

from tests.billing.operations.made_store import agreement_text, ladder_books
from tests.journeys.made_files import (
    Json,
    Ran,
    cloud_event,
    event,
    tokenworks,
    write_events,
    write_json,
)

M = 1_000_000
BEFORE = "2026-10-02T00:00:00Z"
AFTER = "2026-10-20T00:00:00Z"
SEPTEMBER = "2026-09-01T00:00:00Z"
NOVEMBER = "2026-11-02T00:00:00Z"
LATER = "2026-11-05T00:00:00Z"
DECEMBER = "2026-12-02T00:00:00Z"
JANUARY = "2027-01-02T00:00:00Z"


def run(store: Path, *words: str | Path, now: str | None = NOVEMBER) -> Ran:
    """A command that somebody runs at a moment; without one, one that only looks."""
    flags = ["--by", "dana", "--now", now] if now else []
    return tokenworks(*words, "--store", store, *flags)


def told(store: Path, *words: str | Path, now: str | None = None) -> Json:
    """What a command prints as JSON."""
    ran = run(store, *words, "--format", "json", now=now)
    assert ran.code == 0, ran.err
    return ran.json


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The ladder example, invoiced: 8M at 2 + 2M at 1.80 + 3M at .90 = 22.30."""
    store = tmp_path / "billing.db"
    assert tokenworks("db", "upgrade", "--store", store).code == 0
    for i, value in enumerate(ladder_books()):
        path = write_json(tmp_path / f"book-{i}.json", {**value, "published_at": SEPTEMBER})
        assert run(store, "price", "load", path, now=SEPTEMBER).code == 0
    agreement = tmp_path / "a.yaml"
    agreement.write_text(agreement_text(), encoding="utf-8")
    assert run(store, "agreement", "accept", agreement, now=SEPTEMBER).code == 0
    events = [
        event(1, {"input_tokens": 8 * M}, time=BEFORE),
        event(2, {"input_tokens": 5 * M}, time=AFTER),
    ]
    assert run(store, "ingest", write_events(tmp_path, events, form="jsonl")).code == 0
    (period,) = told(store, "close", "--period", "2026-10", now=NOVEMBER)["periods"]
    assert period["total_minor"] == 2230
    return store


def void_it(store: Path, *more: str, now: str = LATER) -> Json:
    return told(store, "event", "void", "gw", "e2", "--reason", "sent twice", *more, now=now)


def amended(store: Path, number: int, tokens: int, *, by: int) -> Json:
    path = write_json(
        store.parent / "right.json",
        cloud_event(event(by, {"input_tokens": tokens}, time=AFTER)),
    )
    flags = ("--event", path, "--reason", "was wrong")
    return told(store, "event", "amend", "gw", f"e{number}", *flags, now=LATER)


def corrected(store: Path, month: str, *, now: str) -> Json:
    """The next invoice of the account."""
    (period,) = told(store, "close", "--period", month, now=now)["periods"]
    assert period["state"] == "invoiced"
    return told(store, "invoice", "show", period["number"])


def assert_adds_up(store: Path, **states: int) -> None:
    verified = told(store, "verify")
    assert (verified["holds"], verified["damage"]) == (True, [])
    (equation,) = (one for one in verified["equations"] if one["name"] == "states")
    assert {name: n for name, n in equation["right"].items() if n} == states


def test_a_void_after_the_invoice_is_credited_on_the_next_one(store: Path) -> None:
    void_it(store)
    assert_adds_up(store, billed=2, unbilled=-1, voided=1)
    # 8M at 2 = 16.00 are left of 22.30: 6.30 is taken back.
    invoice = corrected(store, "2026-11", now=DECEMBER)
    (line,) = invoice["lines"]
    assert (line["kind"], line["corrects"]) == ("correction", "INV-2026-000001")
    assert line["description"].startswith("Correction of INV-2026-000001: m, standard")
    assert (line["quantity"], line["amount_exact"], line["amount_minor"]) == (-5 * M, "-6.3", -630)
    assert (line["rated_exact"], line["invoiced_exact"]) == ("16", "22.3")
    assert invoice["total_minor"] == -630
    assert_adds_up(store, billed=1, voided=1)
    pdf = store.parent / "credit.pdf"
    told(store, "invoice", "pdf", invoice["number"], "--out", pdf)
    text = "".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf.read_bytes())).pages
    )
    assert "-6.30" in text.replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize("nobody", ["", " "])
def test_nothing_is_corrected_by_nobody(store: Path, nobody: str) -> None:
    words = ("event", "void", "gw", "e2", "--reason", "sent twice", "--store", store)
    sentence = tokenworks(*words, "--by", nobody).sentence
    assert sentence.startswith("Invalid value for '--by': is empty; name who does it")
    assert_adds_up(store, billed=2)


def test_a_void_lessens_what_new_usage_costs(store: Path, tmp_path: Path) -> None:
    void_it(store)
    own = [event(7, {"input_tokens": 10 * M}, time="2026-11-03T00:00:00Z")]
    assert run(store, "ingest", write_events(tmp_path, own, form="jsonl"), now=LATER).code == 0
    invoice = corrected(store, "2026-11", now=DECEMBER)
    # November has a ladder of its own: 10M at 1.80 = 18.00, less 6.30 of October.
    assert [(one["kind"], one["amount_minor"]) for one in invoice["lines"]] == [
        ("usage", 1800),
        ("correction", -630),
    ]
    assert invoice["total_minor"] == 1170
    assert_adds_up(store, billed=2, voided=1)


def test_an_amendment_and_its_reversal_sum_to_zero(store: Path) -> None:
    made = amended(store, 2, 3 * M, by=3)
    # 8M at 2 + 2M at 1.80 + 1M at .90 = 20.50: 1.80 less.
    first = corrected(store, "2026-11", now=DECEMBER)
    assert [(one["amount_exact"], one["quantity"]) for one in first["lines"]] == [("-1.8", -2 * M)]
    assert_adds_up(store, billed=2, voided=1)
    reverted = told(
        store, "event", "revert", made["correction"], "--reason", "it was right", now=DECEMBER
    )
    assert (reverted["kind"], reverted["new"]) == ("reversal", True)
    second = corrected(store, "2026-12", now=JANUARY)
    assert [(one["amount_exact"], one["quantity"]) for one in second["lines"]] == [("1.8", 2 * M)]
    assert [one["corrects"] for one in second["lines"]] == ["INV-2026-000001"]
    assert_adds_up(store, billed=2, voided=1)


def test_before_the_close_nothing_is_corrected_on_the_invoice(store: Path, tmp_path: Path) -> None:
    events = [event(n, {"input_tokens": n * M}, time="2026-11-03T00:00:00Z") for n in (7, 8)]
    assert run(store, "ingest", write_events(tmp_path, events, form="jsonl"), now=LATER).code == 0
    told(store, "seal", now=LATER)
    told(store, "event", "void", "gw", "e8", "--reason", "a test", now=LATER)
    invoice = corrected(store, "2026-11", now=DECEMBER)
    # 7M at 1.80 = 12.60; of the 8M nothing is left.
    assert [(one["kind"], one["amount_minor"]) for one in invoice["lines"]] == [("usage", 1260)]


@pytest.mark.parametrize("between", [False, True])
def test_a_month_of_voided_usage_alone_has_nothing_due(
    store: Path, tmp_path: Path, between: bool
) -> None:
    events = [event(7, {"input_tokens": 7 * M}, time="2026-11-03T00:00:00Z")]
    assert run(store, "ingest", write_events(tmp_path, events, form="jsonl"), now=LATER).code == 0
    if between:  # it was voided in a later epoch than it came in
        assert run(store, "seal", now=LATER).code == 0
    told(store, "event", "void", "gw", "e7", "--reason", "a test", now=LATER)
    november = told(store, "close", "--period", "2026-11", now=DECEMBER)
    assert [one["state"] for one in november["periods"]] == ["nothing due"]
    # Nor does the next close ask for it.
    assert told(store, "close", "--period", "2026-12", now=JANUARY)["open_usage"] == []
    assert_adds_up(store, billed=2, voided=1)


def test_an_event_is_shown_with_all_that_corrected_it(store: Path) -> None:
    made = void_it(store)
    assert made == {
        "verdict": "accepted",
        "kind": "void",
        "source": "gw",
        "id": "e2",
        "correction": made["correction"],
    }
    assert void_it(store) == {**made, "verdict": "duplicate"}
    shown = told(store, "event", "show", "gw", "e2")
    assert (shown["account"], shown["units"], shown["void"]) == ("a", {"input_tokens": 5 * M}, True)
    assert shown["steps"] == [
        {
            "step": 1,
            "counts": False,
            "epoch": 2,
            "correction": made["correction"],
            "kind": "void",
            "reason": "sent twice",
            "by": "dana",
            "recorded_at": LATER,
        }
    ]
    told(store, "event", "revert", made["correction"], "--reason", "it was right", now=DECEMBER)
    assert [one["counts"] for one in told(store, "event", "show", "gw", "e2")["steps"]] == [
        False,
        True,
    ]
    ran = run(store, "event", "show", "gw", "e2", now=None)
    assert "Event e2 of gw (a, m, 2026-10-20T00:00:00Z) counts" in ran.text
    csv = run(store, "event", "corrections", "--account", "a", "--format", "csv", now=None).text
    assert [line.split(",")[1] for line in csv.splitlines()] == ["kind", "void", "reversal"]
    assert told(store, "event", "corrections", "--account", "b") == []
    assert [one["kind"] for one in told(store, "event", "corrections")] == ["void", "reversal"]


@pytest.mark.parametrize(
    "words, said",
    [
        (("void", "gw", "e9", "--reason", "x"), 'event e9: there is no event "e9" of "gw"'),
        (("void", "gw", "e2", "--reason", " "), "reason: is empty; say it"),
        (
            ("revert", "cor_9", "--reason", "x"),
            "correction cor_9: does not exist; tokenworks event",
        ),
        (("void", "gw", "e2", "--reason", "x", "--owner-account", "a"), "event e2: there is no"),
    ],
)
def test_what_cannot_be_corrected_is_said_in_one_sentence(
    store: Path, words: tuple[str, ...], said: str
) -> None:
    assert run(store, "event", *words).sentence.startswith(said)


def test_a_file_that_is_no_fitting_event_is_said_with_its_place(store: Path) -> None:
    path = store.parent / "right.json"
    flags = ("--event", path, "--reason", "x")
    good = cloud_event(event(3, {"input_tokens": 1}))
    for value, said in (
        ({**good, "subject": "b"}, f"{path} subject: is another account"),
        ({**good, "id": "e1"}, f"{path} id: is taken by another event"),
        ({**good, "id": "e2"}, f"{path} id: is the id of the event that it amends"),
        ({**good, "time": "2030-01-01T00:00:00Z"}, f"{path} time: 2030-01-01T00:00:00Z lies more"),
        ({**good, "data": {}}, f"{path}"),
    ):
        write_json(path, value)
        assert run(store, "event", "amend", "gw", "e2", *flags).sentence.startswith(said)
    path.unlink()
    assert "cannot be read" in run(store, "event", "amend", "gw", "e2", *flags).sentence
    void_it(store)
    write_json(path, good)
    refused = run(store, "event", "amend", "gw", "e2", *flags, now=LATER).sentence
    assert refused.startswith("event e2: is void already by cor_")
    assert json.loads(path.read_text()) == good
