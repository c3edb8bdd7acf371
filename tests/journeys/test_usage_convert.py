"""The journey of ``tokenworks usage convert``: from what providers answered to a bill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from billing.cli.usage import SENDERS
from billing.intake.payload_readers import PAYLOAD_READERS
from tests.journeys.made_files import Json, book, card, rate_of, tokenworks, write_json

ORIGIN = {"id": "r1", "source": "gw", "account": "a", "time": "2026-10-02T12:00:00Z"}
USAGE: dict[str, Json] = {
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "total_tokens": 1100,
    "prompt_tokens_details": {"cached_tokens": 400},
}
ANSWER: dict[str, Json] = {
    "model": "m",
    "service_tier": "default",
    "choices": [{"finish_reason": "stop", "message": {"content": "a secret"}}],
    "usage": USAGE,
}


def write_lines(folder: Path, *lines: Json) -> Path:
    path = folder / "calls.jsonl"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return path


def line(number: int, payload: Json, **origin: Json) -> Json:
    return {"payload": payload, "origin": {**ORIGIN, "id": f"r{number}", **origin}}


def test_answers_become_usage_that_is_rated(tmp_path: Path) -> None:
    calls = write_lines(tmp_path, line(1, ANSWER), line(2, ANSWER, outcome="failed"))
    usage = tmp_path / "usage.jsonl"
    ran = tokenworks("usage", "convert", calls, "--from", "openai-chat", "--out", usage)
    assert (ran.code, "refused" in ran.err) == (0, False)
    assert b"secret" not in usage.read_bytes()
    prices = write_json(
        tmp_path / "book.json",
        book(
            card(
                rate_of("input_tokens", "2"),
                rate_of("cache_read_tokens", "0.5"),
                rate_of("output_tokens", "8"),
            )
        ),
    )
    rated = tokenworks("rate", "--usage", usage, "--price-book", prices, "--format", "json").json
    # (600 fresh x 2 + 400 cached x 0.5 + 100 x 8) / 1,000,000 = 0.0022; what failed is not billed.
    assert rated["accounts"][0]["total_exact"] == "0.0022"


def test_payloads_are_not_written_over_by_their_events(tmp_path: Path) -> None:
    calls = write_lines(tmp_path, line(1, ANSWER))
    before = calls.read_bytes()
    ran = tokenworks("usage", "convert", calls, "--from", "openai-chat", "--out", calls)
    assert (ran.code, calls.read_bytes()) == (2, before)
    assert ran.sentence == f"{calls}: is what is read here; choose another name"


def test_a_report_names_what_is_refused_unmapped_and_assumed(tmp_path: Path) -> None:
    wrong = {**ANSWER, "usage": {**USAGE, "total_tokens": 1}}
    odd = {**ANSWER, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "dream_tokens": 7}}
    calls = write_lines(tmp_path, line(1, wrong), line(2, odd), {"payload": 1, "orign": {}})
    out = tmp_path / "usage.jsonl"
    command = ("usage", "convert", calls, "--from", "openai-chat", "--out", out)
    ran = tokenworks(*command, "--format", "json")
    assert ran.code == 1
    assert ran.json == {
        "schema": "tokenworks.usage-conversion/1",
        "from": "openai-chat",
        "lines": 3,
        "events": 1,
        "refused": [
            {
                "row": 1,
                "pointer": "/usage/total_tokens",
                "reason": "is 1, and its parts (prompt_tokens 1000 + completion_tokens 100) are "
                "1100",
            },
            {"row": 3, "pointer": "", "reason": "unknown field; remove it or check its spelling"},
        ],
        "unmapped": [{"row": 2, "pointer": "/usage/dream_tokens", "value": "7"}],
        "flags": {"no_cache_details": 1},
    }
    assert "calls.jsonl:1: /usage/total_tokens is 1" in ran.err
    assert "the first in line 2: /usage/dream_tokens 7" in ran.err
    table = tokenworks(*command)
    assert table.code == 1
    assert "Converted usage" in table.text
    assert tokenworks(*command, "--format", "csv").text.splitlines() == [
        "model,service_tier,outcome,events,input_tokens,output_tokens",
        "m,standard,completed,1,1,1",
    ]


def test_options_fill_in_what_lines_leave_open(tmp_path: Path) -> None:
    payload = {key: ANSWER[key] for key in ("model", "usage")}
    bare = {"id": "r1", "time": "2026-10-02T12:00:00Z", "dimensions": {"team": "red"}}
    calls = write_lines(
        tmp_path,
        {"payload": payload, "origin": bare},
        {"payload": payload, "origin": {**bare, "id": "r2", "account": "own", "region": "us"}},
    )
    out = tmp_path / "usage.jsonl"
    stated = ("--account", "a", "--source", "gw", "--service-tier", "batch", "--region", "eu")
    ran = tokenworks("usage", "convert", calls, "--from", "vllm", "--out", out, *stated)
    assert ran.code == 0
    first, second = [json.loads(one) for one in out.read_bytes().splitlines()]
    assert (first["subject"], first["source"], first["data"]["region"]) == ("a", "gw", "eu")
    assert (first["data"]["service_tier"], first["data"]["dimensions"]) == (
        "batch",
        {"team": "red"},
    )
    assert (second["subject"], second["data"]["region"]) == ("own", "us")


def test_events_of_proxies_need_no_origin(tmp_path: Path) -> None:
    event = {
        "specversion": "1.0",
        "id": "chatcmpl-1",
        "source": "litellm-proxy",
        "subject": "a",
        "time": "2026-10-02T12:00:00Z",
        "data": {"model": "m", "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
    out = tmp_path / "usage.jsonl"
    command = ("--from", "openmeter", "--out", out, "--service-tier", "standard")
    ran = tokenworks("usage", "convert", write_lines(tmp_path, {"payload": event}), *command)
    assert ran.code == 0
    assert "no cache details: 1 payloads" in ran.err
    assert json.loads(out.read_bytes())["id"] == "chatcmpl-1"


def test_where_no_line_becomes_an_event_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "usage.jsonl"
    calls = write_lines(tmp_path, line(1, {"model": "m"}))
    ran = tokenworks("usage", "convert", calls, "--from", "openai-chat", "--out", out)
    assert ran.sentence == (
        "calls.jsonl: holds no payload that becomes an event: all 1 are refused, the first (line 1 "
        "/usage) because no usage is reported, so nobody knows what was served"
    )
    assert not out.exists()


@pytest.mark.parametrize("data", [b"", b"\n"])
def test_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(data)
    ran = tokenworks("usage", "convert", path, "--from", "gemini", "--out", tmp_path / "o.jsonl")
    assert ran.sentence == "calls.jsonl: the file is empty"


def test_a_line_that_is_no_json_or_blank_is_refused_and_the_others_are_kept(tmp_path: Path) -> None:
    path = write_lines(tmp_path, line(1, ANSWER))
    path.write_bytes(path.read_bytes() + b"\n{\n" + json.dumps(line(2, ANSWER)).encode())
    out = tmp_path / "usage.jsonl"
    ran = tokenworks("usage", "convert", path, "--from", "openai-chat", "--out", out)
    assert ran.code == 1
    assert "calls.jsonl:2: is blank; remove it" in ran.err
    assert "calls.jsonl:3: this is not JSON" in ran.err
    assert len(out.read_bytes().splitlines()) == 2


def test_the_command_offers_every_reader() -> None:
    assert tuple(PAYLOAD_READERS) == SENDERS
