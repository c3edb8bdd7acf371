"""``tokenworks backfill``: a month is stated anew, invoiced with exact corrections, and reverted.

Invariant: what is printed as JSON is what the store holds, and exit codes say what was done.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from billing.store.schema import upgrade
from billing.store.store import open_store
from tests.billing.operations.made_store import accept, ladder_books, publish
from tests.journeys.made_files import Ran, event, tokenworks, write_events

Json = Any

M = 1_000_000
BEFORE, AFTER = "2026-10-02T00:00:00Z", "2026-10-20T00:00:00Z"
NOVEMBER, DECEMBER = "2026-11-02T00:00:00Z", "2026-12-02T00:00:00Z"
JANUARY, FEBRUARY = "2027-01-02T00:00:00Z", "2027-02-02T00:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The ladder example: 8M before the price change and 5M after it, as e1 and e2."""
    file = tmp_path / "billing.db"
    upgrade(file)
    with open_store(file) as opened:
        for value in ladder_books():
            publish(opened, value)
        accept(opened, tmp_path)
    first = event(1, {"input_tokens": 8 * M}, time=BEFORE)
    _ingest(file, first, event(2, {"input_tokens": 5 * M}, time=AFTER), now=NOVEMBER)
    return file


def _ingest(store: Path, *events: Json, now: str) -> None:
    usage = write_events(store.parent, events, form="jsonl")
    ran = tokenworks("ingest", usage, "--store", store, "--by", "gateway", "--now", now)
    assert ran.code == 0, ran.err


def _run(store: Path, *words: str | Path, now: str = "", by: str = "dana") -> Ran:
    said = [*(("--by", by) if now else ()), *(("--now", now) if now else ())]
    return tokenworks(*words, "--store", store, *said, "--format", "json")


def _json(store: Path, *words: str | Path, now: str = "") -> Json:
    ran = _run(store, *words, now=now)
    assert ran.code == 0, ran.err
    return ran.json


def _load(
    store: Path,
    *events: Json,
    now: str = NOVEMBER,
    form: str = "jsonl",
    flags: tuple[str, ...] = (),
) -> Ran:
    usage = write_events(store.parent, events, form=form)
    told = ("--account", "a", "--period", "2026-10", "--reason", "the meter was wrong")
    return _run(store, "backfill", "load", usage, *told, *flags, now=now)


def _closed(store: Path, month: str, *, now: str) -> Json:
    """The one invoice of a month: its total and its lines that correct another."""
    (period,) = _json(store, "close", "--period", month, now=now)["periods"]
    lines = _json(store, "invoice", "show", period["number"])["lines"]
    corrections = [
        (one["corrects"], one["amount_exact"], one["amount_minor"])
        for one in lines
        if "corrects" in one
    ]
    return period["number"], period["total_minor"], corrections


def test_a_backfill_of_an_invoiced_month_is_corrected_and_its_reversal_undoes_that(
    store: Path,
) -> None:
    # 8M at 2; then 2M at 1.80 and 3M at .90 = 22.30.
    first, total_minor, _ = _closed(store, "2026-10", now=NOVEMBER)
    assert total_minor == 2_230

    # The second event had 4M: 8M at 2; then 2M at 1.80 and 2M at .90 = 21.40, so -.90.
    kept, new = (
        event(1, {"input_tokens": 8 * M}, time=BEFORE),
        event(9, {"input_tokens": 4 * M}, time=AFTER),
    )
    loaded = _load(store, kept, new).json
    name = loaded["backfill"]["backfill"]
    done = {key: loaded["backfill"][key] for key in ("state", "added", "kept", "voided")}
    assert done == {"state": "applied", "added": 1, "kept": 1, "voided": 1}
    _ingest(store, event(3, {"input_tokens": 3 * M}, time="2026-11-05T00:00:00Z"), now=DECEMBER)
    _, total_minor, corrections = _closed(store, "2026-11", now=DECEMBER)
    # November: 3M at 1.80 = 5.40.
    assert (total_minor, corrections) == (540 - 90, [(first, "-0.9", -90)])

    shown = _json(store, "backfill", "revert", name, "--reason", "it was right", now=DECEMBER)
    assert shown["state"] == "reverted"
    _ingest(store, event(4, {"input_tokens": 3 * M}, time="2026-12-05T00:00:00Z"), now=JANUARY)
    _, total_minor, corrections = _closed(store, "2026-12", now=JANUARY)
    assert (total_minor, corrections) == (540 + 90, [(first, "0.9", 90)])

    verified = _json(store, "verify")
    assert (verified["holds"], verified["damage"]) == (True, [])


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(store: Path) -> None:
    events = [event(1, {"input_tokens": 8 * M}, time=BEFORE), event(9, {"output_tokens": 7})]
    told = _load(store, *events, flags=("--dry-run",)).json
    assert told["backfill"] is None
    assert told["foreseen"] == {
        "staged": 2,
        "added": 1,
        "kept": 1,
        "restored": 0,
        "voided": 1,
        "sums": [
            {"unit": "requests", "before": 2, "after": 2, "change": 0},
            {"unit": "input_tokens", "before": 13 * M, "after": 8 * M, "change": -5 * M},
            {"unit": "output_tokens", "before": 0, "after": 7, "change": 7},
        ],
    }
    assert _json(store, "backfill", "list")["backfills"] == []
    _, total_minor, _ = _closed(store, "2026-10", now=NOVEMBER)
    assert total_minor == 2_230


def test_a_dry_run_names_the_rows_that_would_be_refused(store: Path) -> None:
    bad = event(3, {"input_tokens": 1}, account="b")
    for shape in ("json", "table"):
        usage = write_events(store.parent, [event(9, {"input_tokens": M}), bad], form="jsonl")
        told = ("--account", "a", "--period", "2026-10", "--reason", "r", "--dry-run")
        said = ("--store", store, "--by", "dana", "--now", NOVEMBER, "--format", shape)
        ran = tokenworks("backfill", "load", usage, *told, *said)
        assert ran.code == 1
        assert 'tokenworks: usage.jsonl:2: row 2 account: is not "a"' in ran.err
        if shape == "json":
            assert (ran.json["backfill"], ran.json["foreseen"]) == (None, None)
            assert [one["row"] for one in ran.json["refused"]] == [2]
    assert _json(store, "backfill", "list")["backfills"] == []


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_any_usage_file_is_loaded(store: Path, form: str) -> None:
    twice = event(9, {"input_tokens": M})
    ran = _load(store, twice, event(8, {"input_tokens": 2 * M}), twice, form=form)
    assert (ran.code, ran.json["received"], ran.json["duplicate"]) == (0, 3, 1)
    (listed,) = _json(store, "backfill", "list", "--account", "a")["backfills"]
    shown = _json(store, "backfill", "show", listed["backfill"])
    assert shown == {"schema": "tokenworks.backfill/1", **listed}
    assert (shown["added"], shown["voided"], shown["state"]) == (2, 2, "applied")
    # 3M at 2.
    assert _closed(store, "2026-10", now=NOVEMBER)[1] == 600


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_file_without_rows_voids_nothing(store: Path, flags: tuple[str, ...]) -> None:
    usage = store.parent / "usage.csv"
    usage.write_text("id,source,account,time,model,service_tier,input_tokens\n", encoding="utf-8")
    told = ("--account", "a", "--period", "2026-10", "--reason", "the export failed")
    sentence = _run(store, "backfill", "load", usage, *told, *flags, now=NOVEMBER).sentence
    assert sentence.startswith("usage.csv: has no rows, so that all usage of the period would be")
    listed = [
        (one["state"], one["staged"]) for one in _json(store, "backfill", "list")["backfills"]
    ]
    assert listed == ([] if flags else [("open", 0)])
    assert _closed(store, "2026-10", now=NOVEMBER)[1] == 2_230


def test_a_file_with_refused_rows_applies_nothing_until_it_is_mended(store: Path) -> None:
    good = event(9, {"input_tokens": M})
    bad = [
        event(2, {"input_tokens": 1}, time=AFTER),
        event(3, {"input_tokens": 1}, account="b"),
        event(4, {"input_tokens": 1}, time="2026-11-01T00:00:00Z"),
        event(5, {"input_tokens": -1}),
        event(9, {"input_tokens": M}, time="2026-10-02T12:00:01Z"),
    ]
    ran = _load(store, good, *bad)
    assert ran.code == 1
    refused = [(one["row"], one["verdict"]) for one in ran.json["refused"]]
    assert refused == [
        (2, "conflict"), (3, "rejected"), (4, "rejected"), (5, "rejected"), (6, "conflict"),
    ]  # fmt: skip
    assert ran.json["backfill"]["state"] == "open"
    assert ran.json["backfill"]["staged"] == 0
    assert "nothing was applied; mend these rows and run it again" in ran.err
    assert (
        'tokenworks: usage.jsonl:2: row 2: the event "e2" of "gw" is refused: its id is' in ran.err
    )
    assert "tokenworks: usage.jsonl:3: row 3 account: " in ran.err
    assert "tokenworks: usage.jsonl:4: row 4 time: 2026-11-01T00:00:00Z lies outside" in ran.err
    assert _load(store, good).code == 0


def test_a_file_that_cannot_be_read_leaves_nothing_staged(store: Path) -> None:
    usage = store.parent / "usage.csv"
    usage.write_text("id,source\n1,2\n")
    told = ("--account", "a", "--period", "2026-10", "--reason", "r")
    ran = _run(store, "backfill", "load", usage, *told, now=NOVEMBER)
    assert ran.code == 2
    assert {one["staged"] for one in _json(store, "backfill", "list")["backfills"]} <= {0}
    missing = _run(store, "backfill", "load", store.parent / "no.csv", *told, now=NOVEMBER)
    assert (missing.code, len(missing.err.splitlines())) == (2, 1)


def test_what_is_refused_is_one_sentence(store: Path) -> None:
    name = _load(store, event(9, {"input_tokens": M})).json["backfill"]["backfill"]
    for words, sentence in (
        (("show", "bf_none"), "backfill bf_none: was never opened; check its name"),
        (("drop", name), f"backfill {name}: was applied already; open another one"),
        (("revert", name, "--reason", " "), "reason: is empty; say it"),
        (("revert", "bf_none", "--reason", "r"), "backfill bf_none: was never opened"),
    ):
        now = "" if words[0] == "show" else NOVEMBER
        ran = _run(store, "backfill", *words, now=now)
        assert (ran.code, ran.err.startswith(f"tokenworks: {sentence}")) == (2, True), ran.err
    assert (
        _json(store, "backfill", "apply", name, "--events", "1", now=NOVEMBER)["state"] == "applied"
    )


def test_tables_and_csv_say_the_same(store: Path) -> None:
    usage = write_events(store.parent, [event(9, {"input_tokens": M})], form="jsonl")
    told = ("--account", "a", "--period", "2026-10", "--reason", "r", "--store", store)
    said = ("--by", "dana", "--now", NOVEMBER)
    tried = tokenworks("backfill", "load", usage, *told, *said, "--dry-run")
    assert (
        "of 1 events 1 would be added, 0 kept and 0 restored; 2 others would be voided" in tried.err
    )
    assert "-12,000,000" in tried.text
    loaded = tokenworks("backfill", "load", usage, *told, *said, "--format", "csv")
    header, row = (line.split(",") for line in loaded.text.splitlines())
    found = dict(zip(header, row, strict=True))
    assert (found["state"], found["added"], found["voided"]) == ("applied", "1", "2")


def test_json_of_a_load_has_every_field_that_is_documented(store: Path) -> None:
    told = _load(store, event(9, {"input_tokens": M})).json
    assert list(told) == [
        "schema", "file", "received", "duplicate", "backfill", "foreseen", "refused",
    ]  # fmt: skip
    assert told["schema"] == "tokenworks.backfill-load/1"
    assert json.dumps(told["backfill"]).count("null") == 2  # neither reverted nor a reversal
