"""Usage into a store by the command: exit codes, what is printed, and traces of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.store.points import hooked
from billing.store.store import StoreError, open_store
from billing.store.usage_totals import accounts_with_totals, read_all_totals
from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import Ran, event, tokenworks, write_events

INPUT = {"input_tokens": 10}
NOW = "2026-11-02T08:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The file of an empty store."""
    path = tmp_path / "billing.db"
    path.write_bytes(made_store())
    return path


OF_A_TRACE = ["--trace", "azure", "--model", "m=1", "--service-tier", "s=1"]


def ingested(store: Path, *arguments: str | Path) -> Ran:
    return tokenworks("ingest", *arguments, "--store", store, "--by", "me", "--now", NOW)


def test_a_file_goes_in_once_and_is_known_again(store: Path, tmp_path: Path) -> None:
    usage = write_events(tmp_path, [event(1, INPUT), event(2, INPUT)], form="csv")
    first = ingested(store, usage, "--format", "json")
    assert (first.code, first.err) == (0, "")
    (file,) = first.json["files"]
    digest = file.pop("digest")
    assert digest.startswith("sha256:")
    assert file == {
        "file": "usage.csv",
        "received": 2,
        "accepted": 2,
        "duplicate": 0,
        "conflict": 0,
        "rejected": 0,
        "batches": 1,
        "delivered_before": 0,
        "refused": [],
    }
    again = ingested(store, usage)
    assert again.code == 0
    assert "usage.csv: already delivered; nothing was stored again" in again.err


def test_refused_rows_are_named_and_the_exit_code_is_one(store: Path, tmp_path: Path) -> None:
    late = "2026-11-02T08:15:00.000001Z"
    events = [event(1, INPUT), event(1, {"input_tokens": 9}), event(2, INPUT, time=late)]
    ran = ingested(store, write_events(tmp_path, events, form="jsonl"))
    assert ran.code == 1
    conflict, rejected = ran.err.splitlines()
    # Of the two contents of e1 in one batch the one whose digest comes first stands.
    assert conflict.startswith("tokenworks: usage.jsonl:")
    assert 'the event "e1" of "gw" has other content here' in conflict
    assert rejected.startswith("tokenworks: usage.jsonl:3: row 3 time: 2026-11-02T08:15:00.000001Z")


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_in(
    store: Path, tmp_path: Path
) -> None:
    usage = write_events(tmp_path, [event(1, INPUT)], form="csv")
    ran = ingested(store, tmp_path / "absent.csv", usage, "--format", "json")
    assert ran.code == 1
    assert [file["accepted"] for file in ran.json["files"]] == [1]
    assert ran.json["failed"] == [f"{tmp_path}/absent.csv: cannot be read (no such file)"]
    assert "cannot be read (no such file)" in ran.err


def test_a_store_that_fails_midway_stops_the_run_with_what_is_done(
    store: Path, tmp_path: Path
) -> None:
    def fail(name: str) -> None:
        reached.append(name)
        if reached.count("write.begun") == 2:
            raise StoreError("billing.db", "the disk is full; make room and run it again")

    reached: list[str] = []
    usage = write_events(tmp_path, [event(n, INPUT) for n in range(4)], form="jsonl")
    with hooked(fail):
        ran = ingested(store, usage, usage, "--batch-rows", "2")
    assert (ran.code, ran.out) == (1, b"")
    assert ran.err == "tokenworks: billing.db: the disk is full; make room and run it again\n"
    again = ingested(store, usage, "--batch-rows", "2", "--format", "json")
    (file,) = again.json["files"]
    assert (again.code, file["accepted"], file["delivered_before"]) == (0, 4, 1)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["absent.csv"], "absent.csv: cannot be read (no such file)"),
        (["usage.csv", "--now", "yesterday"], 'must be a moment such as "2026-10-01T00:00:00Z"'),
        (["usage.csv", "--model", "m=1"], "--model: is for a trace; give --trace, or leave it out"),
        (["usage.csv", "--trace", "azure"], "--starting-at: is missing; a trace of azure needs it"),
        (
            ["usage.csv", "--starting-at", "now", "--account", "a=1", *OF_A_TRACE],
            "--starting-at: must be a moment",
        ),
        (
            ["usage.csv", "--starting-at", NOW, "--account", "a=0", *OF_A_TRACE],
            '--account: must be NAME=WEIGHT such as acme=3, not "a=0"',
        ),
        (
            ["usage.csv", "--starting-at", NOW, "--account", " a=1", *OF_A_TRACE],
            "--account cell: ",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_stores_nothing(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_events(tmp_path, [event(1, INPUT)], form="csv")
    now = () if "--now" in arguments else ("--now", NOW)
    ran = tokenworks("ingest", *arguments, *now, "--store", store, "--by", "me")
    assert sentence in ran.sentence
    with open_store(store) as opened, opened.read() as connection:
        assert accounts_with_totals(connection) == ()


def test_without_a_store_the_command_says_how_to_make_one(tmp_path: Path) -> None:
    usage = write_events(tmp_path, [event(1, INPUT)], form="csv")
    assert "run tokenworks db upgrade --store" in ingested(tmp_path / "no.db", usage).sentence


def test_the_clock_is_read_where_no_moment_is_given(store: Path, tmp_path: Path) -> None:
    usage = write_events(tmp_path, [event(1, INPUT, time="2026-10-02T12:00:00Z")], form="csv")
    ran = tokenworks("ingest", usage, "--store", store, "--by", "me")
    assert ran.code in (0, 1)  # 1 on a machine whose clock stands before the event


@pytest.mark.parametrize(
    "kind, name, sums",
    [
        # Requests, input tokens, cached ones of them and output tokens: the README of the data.
        ("azure", "AzureLLMInferenceTrace_code_2023.csv", (8_819, 18_059_974, 0, 245_896)),
        ("azure", "AzureLLMInferenceTrace_conv_2023.csv", (19_366, 22_361_870, 0, 4_088_665)),
        (
            "mooncake",
            "mooncake_conversation_trace.jsonl",
            (12_031, 144_793_823, 54_098_411, 4_122_048),
        ),
    ],
)
def test_no_token_of_a_real_trace_is_lost(
    store: Path, shared_data: Path, kind: str, name: str, sums: tuple[int, int, int, int]
) -> None:
    ran = ingested(
        store,
        shared_data / name,
        *("--trace", kind, "--starting-at", "2026-10-01T00:00:00Z"),
        *("--account", "acme=3", "--account", "globex=1", "--model", "m=1"),
        *("--service-tier", "standard=1", "--format", "json"),
    )
    assert (ran.code, [file["accepted"] for file in ran.json["files"]]) == (0, [sums[0]])
    with open_store(store) as opened, opened.read() as connection:
        totals = [
            total
            for account in accounts_with_totals(connection)
            for total in read_all_totals(connection, account=account)
        ]
    units = ("input_tokens", "cache_read_tokens", "output_tokens")
    fresh, cached, written = (sum(one.leaves.get(unit, 0) for one in totals) for unit in units)
    assert (sum(one.events for one in totals), fresh + cached, cached, written) == sums


def test_the_grid_is_shown_and_stale_totals_are_rebuilt(store: Path, tmp_path: Path) -> None:
    from billing.operations.grid import register_cuts
    from pricing_rules.prices.price_book import load_price_book
    from tests.journeys.made_files import book, card, rate_of, write_json

    ingested(store, write_events(tmp_path, [event(1, INPUT)], form="csv"))
    rates = [
        rate_of("input_tokens", "2"),
        rate_of("input_tokens", "4", when={"request_tokens_over": 1000}),
    ]
    path = write_json(tmp_path / "book.json", book(card(*rates)))
    made = load_price_book(path.read_bytes(), name=path.name)
    with open_store(store) as opened, opened.write() as connection:
        register_cuts(connection, books=(made,), reason="a book", now_at=0)
    shown = tokenworks("grid", "show", "--store", store, "--format", "json")
    assert shown.json == {
        "schema": "tokenworks.grid/1",
        "version": 1,
        "reason": "a book",
        "instants": ["2026-10-01T00:00:00Z"],
        "thresholds_tokens": [1001],
        "dimensions": [],
        "windows": [],
        "calendar_cuts": [],
        "stale_accounts": ["a"],
    }
    rebuilt = tokenworks(
        "grid", "rebuild", "--store", store, "--by", "me", "--now", NOW, "--format", "json"
    )
    assert rebuilt.json["rebuilt"] == [
        {"account": "a", "events": 1, "cells": 1, "grid_version": 1, "agreement_version": 0}
    ]
    after = tokenworks("grid", "show", "--store", store)
    assert "version 1; 0 accounts are stale" in after.err
    unknown = tokenworks("grid", "rebuild", "--store", store, "--by", "me", "--account", "x")
    assert unknown.sentence == "account x: has no usage; check its name"
