"""The generated trace has the published means, and a seed fixes its bytes."""

from __future__ import annotations

import hashlib

import pyarrow.compute as pc

from billing.cli.demo.generated_usage import generated_trace
from billing.intake.assignment import Assignment
from billing.intake.azure_trace import read_azure_trace

EVENTS = 40_000
ASSIGNMENT = Assignment(accounts=(("a", 1),), models=(("m", 1),), service_tiers=(("s", 1),))


def test_the_means_are_those_of_the_published_traces_within_two_percent() -> None:
    table, verdicts = read_azure_trace(
        generated_trace(seed=2023, events=EVENTS),
        name="generated.csv",
        starting_at=0,
        assignment=ASSIGNMENT,
    )
    assert verdicts == ()
    assert table.num_rows == EVENTS
    # Published, per row: (18,059,974 + 22,361,870) / 28,185 = 1,434.16 in,
    # (245,896 + 4,088,665) / 28,185 = 153.79 out; 28,185 rows in about one hour.
    input_mean = pc.mean(table["input_tokens"]).as_py()
    output_mean = pc.mean(table["output_tokens"]).as_py()
    assert abs(input_mean / 1_434.16 - 1) < 0.02
    assert abs(output_mean / 153.79 - 1) < 0.02
    hours = pc.max(table["occurred_at"]).as_py() / 3_600_000_000
    assert abs(hours / (EVENTS / 28_185) - 1) < 0.02


def test_a_seed_fixes_the_bytes() -> None:
    first, again = (generated_trace(seed=7, events=100) for _ in range(2))
    assert first == again
    assert first != generated_trace(seed=8, events=100)
    assert hashlib.sha256(first).hexdigest().startswith("9fc9b5a44666f084")


def test_a_trace_has_a_line_for_each_event_and_a_header() -> None:
    lines = generated_trace(seed=1, events=3).split(b"\r\n")
    assert len(lines) == 4
    assert lines[0] == b"TIMESTAMP,ContextTokens,GeneratedTokens"
    assert generated_trace(seed=1, events=0) == lines[0]
