"""The Azure trace: moments keep their distances, counts their sums; names follow a hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.compute as pc
import pytest

from billing.intake.assignment import Assignment
from billing.intake.azure_trace import SOURCE, read_azure_trace
from pricing_rules.document import DocumentError
from pricing_rules.period import LAST_MOMENT_AT, parse_moment

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
START_AT = parse_moment("2026-10-01T00:00:00Z")
ASSIGNMENT = Assignment(
    accounts=(("acme", 3), ("zeta", 1)),
    models=(("small", 1), ("large", 1)),
    service_tiers=(("standard", 9), ("batch", 1)),
)


def test_the_earliest_request_is_at_the_start_and_the_others_keep_their_distance() -> None:
    data = (
        HEADER + b"2023-11-16 18:17:03.9799600,4808,10\r\n"
        b"2023-11-16 18:17:04.0319609,3180,8\r\n"
        b"2023-11-16 18:17:05,110,27\r\n"
        b"2023-11-17 00:00:00.5,1,0"
    )
    table, verdicts = read_azure_trace(
        data, name="code.csv", starting_at=START_AT, assignment=ASSIGNMENT
    )
    assert verdicts == ()
    # .0319609 - (-1 s) .97996 = 0.0520009 s: the last 0.9 us are cut; 1.02004 s; 20576.52004 s
    distances = [at - START_AT for at in table["occurred_at"].to_pylist()]
    assert distances == [0, 52_000, 1_020_040, 20_576_520_040]
    assert table["row"].to_pylist() == [2, 3, 4, 5]
    assert table["input_tokens"].to_pylist() == [4_808, 3_180, 110, 1]
    assert table["request_tokens"].to_pylist() == [4_808, 3_180, 110, 1]
    assert table["output_tokens"].to_pylist() == [10, 8, 27, 0]
    digest = hashlib.sha256(data).hexdigest()[:16]
    assert table["id"].to_pylist() == [f"{digest}:{row}" for row in (2, 3, 4, 5)]
    assert set(table["source"].to_pylist()) == {SOURCE}


def test_a_row_takes_its_names_from_the_hash_of_its_id() -> None:
    digest = hashlib.sha256(b"0123456789abcdef:2").digest()
    account = "acme" if int.from_bytes(digest[:8], "big") % 4 < 3 else "zeta"
    model = "small" if int.from_bytes(digest[8:16], "big") % 2 < 1 else "large"
    service_tier = "standard" if int.from_bytes(digest[16:24], "big") % 10 < 9 else "batch"
    assert ASSIGNMENT.of("0123456789abcdef:2") == (account, model, service_tier)


def test_shares_follow_the_weights() -> None:
    accounts = [ASSIGNMENT.of(str(n))[0] for n in range(4_000)]
    assert 2_900 < accounts.count("acme") < 3_100  # 3 of 4, within 3.7 standard deviations


@pytest.mark.parametrize("accounts", [(), (("acme", 0),), (("acme", -1),)])
def test_an_assignment_needs_names_with_positive_weights(
    accounts: tuple[tuple[str, int], ...],
) -> None:
    with pytest.raises(ValueError, match="weight of at least 1"):
        Assignment(accounts=accounts, models=(("m", 1),), service_tiers=(("s", 1),))


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"", "row 2 is blank; remove it"),
        (b"2023-11-16 18:17:03.9,1", "row 2 has 2 cells where the header has 3"),
        (b"2023-11-16 18:17:03.9,1,2,3", "row 2 has 4 cells where the header has 3"),
        (b"2023-11-16T18:17:03Z,1,2", "row 2 TIMESTAMP: must be a moment such as"),
        (b"2023-11-16 18:17:03.12345678,1,2", "row 2 TIMESTAMP: must be a moment such as"),
        (b"2023-11-16 24:00:00,1,2", "row 2 TIMESTAMP: must be a moment such as"),
        (b"2023-02-29 18:17:03,1,2", "is not a date that exists"),
        (b"2023-11-16 18:17:03,1.0,2", 'row 2 ContextTokens: must be a whole number, not "1.0"'),
        (b"2023-11-16 18:17:03,-1,2", "row 2 ContextTokens"),
        (b"2023-11-16 18:17:03,1,02", "row 2 GeneratedTokens"),
        (b"2023-11-16 18:17:03,1,1000000000001", "row 2 GeneratedTokens: output_tokens must lie"),
        (b"9999-11-16 18:17:03,1,1", "row 2 TIMESTAMP: must lie between 1970 and 2199"),
    ],
)
def test_a_line_that_is_no_request_has_a_verdict_and_the_others_count(
    line: bytes, reason: str
) -> None:
    data = HEADER + line + b"\r\n2023-11-16 18:17:03,1,2\r\n"
    table, verdicts = read_azure_trace(
        data, name="t.csv", starting_at=START_AT, assignment=ASSIGNMENT
    )
    assert table["row"].to_pylist() == [3]
    assert [verdict.row for verdict in verdicts] == [2]
    assert reason in verdicts[0].reason


@pytest.mark.parametrize("late_us, accepted", [(-1, 1), (0, 0)])
def test_the_last_moment_is_a_bound(late_us: int, accepted: int) -> None:
    data = HEADER + b"2023-11-16 18:17:03,1,2\n"
    table, verdicts = read_azure_trace(
        data, name="t.csv", starting_at=LAST_MOMENT_AT + late_us, assignment=ASSIGNMENT
    )
    assert (table.num_rows, len(verdicts)) == (accepted, 1 - accepted)


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "t.csv: the file is empty"),
        (b"\xef\xbb\xbf" + HEADER, "t.csv:1: the header must be"),
        (b"timestamp,a,b\n", "t.csv:1: the header must be"),
        (HEADER + b"2023-11-16 18:17:03,1,\xff", "t.csv:2: byte 63 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_as_a_whole(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError) as found:
        read_azure_trace(data, name="t.csv", starting_at=START_AT, assignment=ASSIGNMENT)
    assert str(found.value).startswith(sentence)


@pytest.mark.parametrize(
    "kind, rows, input_tokens, output_tokens",
    [("code", 8_819, 18_059_974, 245_896), ("conv", 19_366, 22_361_870, 4_088_665)],
)
def test_the_published_traces_have_their_published_totals(
    shared_data: Path, kind: str, rows: int, input_tokens: int, output_tokens: int
) -> None:
    path = shared_data / f"AzureLLMInferenceTrace_{kind}_2023.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is absent")
    table, verdicts = read_azure_trace(
        path.read_bytes(), name=path.name, starting_at=START_AT, assignment=ASSIGNMENT
    )
    assert verdicts == ()
    assert table.num_rows == rows
    assert pc.sum(table["input_tokens"]).as_py() == input_tokens
    assert pc.sum(table["output_tokens"]).as_py() == output_tokens
    assert pc.min(table["occurred_at"]).as_py() == START_AT
