"""The journey of ``tokenworks usage mix``: from usage files to the document that pricing reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pricing_rules.usage.mix import load_usage_mix
from tests.journeys.made_files import FORMATS, Json, event, tokenworks, write_events

EVENTS = [
    event(1, {"input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 100}),
    event(2, {"input_tokens": 10}, time="2026-11-01T00:00:00Z"),
    event(3, {"input_tokens": 10}, account="b", time="2026-10-31T23:59:59.999999Z"),
    event(4, {"input_tokens": 10}, outcome="failed"),
]


def mixed(folder: Path, *arguments: str | Path) -> Json:
    """The mix that a run writes and prints, which are the same."""
    ran = tokenworks("usage", "mix", *arguments, "--out", folder / "mix.json", "--format", "json")
    assert ran.code == 0, ran.err
    assert ran.json == json.loads((folder / "mix.json").read_bytes())
    load_usage_mix((folder / "mix.json").read_bytes(), name="mix.json")
    return ran.json


def test_a_mix_is_written_over_an_earlier_one_and_over_nothing_else(tmp_path: Path) -> None:
    usage = write_events(tmp_path, EVENTS, form="csv")
    assert mixed(tmp_path, "--usage", usage) == mixed(tmp_path, "--usage", usage)
    before = usage.read_bytes()
    ran = tokenworks("usage", "mix", "--usage", usage, "--out", usage)
    assert (ran.code, usage.read_bytes()) == (2, before)
    assert ran.sentence == f"{usage}: holds another document; choose another name"


@pytest.mark.parametrize("form", FORMATS)
def test_a_usage_file_becomes_a_mix(tmp_path: Path, form: str) -> None:
    found = mixed(tmp_path, "--usage", write_events(tmp_path, EVENTS, form=form))
    assert (found["start_at"], found["end_at"]) == (
        "2026-10-02T12:00:00Z",
        "2026-11-01T00:00:00.000001Z",
    )
    assert [(one["account"], one["events"]) for one in found["entries"]] == [("a", 2), ("b", 1)]
    assert found["entries"][0]["leaves"] == {
        "cache_read_tokens": 400,
        "input_tokens": 610,
        "output_tokens": 100,
    }
    assert found["entries"][0]["shapes"] == [
        {"events": 1, "input_tokens": 10, "cache_read_tokens": 0, "output_tokens": 0},
        {"events": 1, "input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 100},
    ]


@pytest.mark.parametrize(
    "period, start, end, events",
    [
        ("2026-10", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", 2),
        ("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 1),
        ("2026-10-31/2026-11-02", "2026-10-31T00:00:00Z", "2026-11-02T00:00:00Z", 2),
    ],
)
def test_a_period_is_a_month_or_a_start_and_an_end(
    tmp_path: Path, period: str, start: str, end: str, events: int
) -> None:
    usage = write_events(tmp_path, EVENTS, form="csv")
    found = mixed(tmp_path, "--usage", usage, "--period", period)
    assert (found["start_at"], found["end_at"]) == (start, end)
    assert sum(one["events"] for one in found["entries"]) == events


def test_several_files_are_one_usage(tmp_path: Path) -> None:
    first = write_events(tmp_path, EVENTS[:2], form="csv")
    second = write_events(tmp_path, EVENTS[1:], form="parquet")
    found = mixed(tmp_path, "--usage", first, "--usage", second)
    assert sum(one["events"] for one in found["entries"]) == 3


def test_refused_rows_are_named_with_their_file_and_the_others_are_kept(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    first = write_events(tmp_path, [*EVENTS[:1], event(9, {"input_tokens": -1})], form="csv")
    later = event(1, {"input_tokens": 7}, time="2026-10-31T23:59:59Z")
    second = write_events(other, [later], form="jsonl")
    ran = tokenworks(
        *("usage", "mix", "--usage", first, "--usage", second, "--out", tmp_path / "mix.json")
    )
    assert ran.code == 1
    assert "usage.csv:3: row 3 input_tokens: " in ran.err
    # The 7 of the second file is of later than the 1,000 of the first, and is not kept.
    assert "usage.jsonl:1: row 1 the event" in ran.err
    assert "than in row 2 of usage.csv, which is kept" in ran.err
    assert (tmp_path / "mix.json").exists()


@pytest.mark.parametrize(
    "kind, name, events",
    [
        ("azure", "AzureLLMInferenceTrace_code_2023.csv", 8_819),
        ("mooncake", "mooncake_conversation_trace.jsonl", 12_031),
    ],
)
def test_a_real_trace_becomes_a_mix(
    tmp_path: Path, shared_data: Path, kind: str, name: str, events: int
) -> None:
    found = mixed(
        tmp_path,
        *("--usage", shared_data / name, "--trace", kind),
        *("--starting-at", "2026-10-05T00:00:00Z", "--account", "a=2", "--account", "b=1"),
        *("--model", "m=1", "--service-tier", "standard=3", "--service-tier", "batch=1"),
    )
    assert sum(one["events"] for one in found["entries"]) == events
    assert {(one["account"], one["service_tier"]) for one in found["entries"]} == {
        (account, service_tier) for account in "ab" for service_tier in ("batch", "standard")
    }


def test_the_table_counts_inclusive_tokens(tmp_path: Path) -> None:
    usage = write_events(tmp_path, EVENTS, form="csv")
    ran = tokenworks(
        *("usage", "mix", "--usage", usage, "--out", tmp_path / "m.json", "--format", "csv")
    )
    assert ran.text.splitlines()[:2] == [
        "account,model,service_tier,events,input_tokens,cache_read_tokens,output_tokens,shapes",
        "a,m,standard,2,1010,400,100,2",
    ]
    assert "4 rows: 4 accepted, 0 duplicate, 0 conflict, 0 rejected" in ran.err
    assert "of the accepted 0 outside the period, 1 not billable" in ran.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "usage: there is none; give at least one file"),
        (["--usage", "absent.csv"], "absent.csv: cannot be read (no such file)"),
        (["--usage", "usage.txt"], 'is not known by its ending ".txt"'),
        (["--usage", "usage.csv", "--period", "2026"], "period: must be a month such as 2026-10"),
        (["--usage", "usage.csv", "--period", "2027-01"], "usage.csv: holds no billable event in"),
        (["--usage", "usage.csv", "--model", "m=1"], "--model: is for a trace; give --trace"),
        (
            ["--usage", "bad.csv"],
            "bad.csv: holds no usage event: all 1 rows are refused, the first",
        ),
    ],
)
def test_what_cannot_be_mixed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_events(tmp_path, [event(1, {"input_tokens": -1})], form="csv").rename("bad.csv")
    write_events(tmp_path, EVENTS, form="csv")
    Path("usage.txt").write_text("x")
    ran = tokenworks("usage", "mix", *arguments, "--out", "mix.json")
    assert said in ran.sentence
    assert not Path("mix.json").exists()
