"""The Mooncake trace: leading blocks that were seen before are cached input."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from billing.intake.assignment import Assignment
from billing.intake.mooncake_trace import SOURCE, read_mooncake_trace
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from pricing_rules.usage.event_columns import Verdict

START_AT = parse_moment("2026-10-01T00:00:00Z")
ASSIGNMENT = Assignment(accounts=(("a", 1),), models=(("m", 1),), service_tiers=(("s", 1),))


def read(*lines: str) -> tuple[dict[str, list[object]], tuple[Verdict, ...]]:
    table, verdicts = read_mooncake_trace(
        "\n".join(lines).encode(), name="t.jsonl", starting_at=START_AT, assignment=ASSIGNMENT
    )
    return table.to_pydict(), verdicts


def line(timestamp: int, tokens: int, blocks: str) -> str:
    return (
        f'{{"timestamp": {timestamp}, "input_length": {tokens}, "output_length": 5, '
        f'"hash_ids": [{blocks}]}}'
    )


def test_leading_seen_blocks_are_cached_up_to_the_first_unseen_one() -> None:
    found, verdicts = read(
        line(0, 1_000, "1, 2"),  # nothing was seen: 0
        line(27, 1_600, "1, 2, 3, 4"),  # 2 blocks of 512
        line(28, 1_600, "9, 1, 2"),  # 9 is new, so nothing behind it counts: 0
        line(29, 700, "1, 2"),  # 2 x 512 = 1,024, capped at the input
        line(30, 10, ""),  # no block
    )
    assert verdicts == ()
    assert found["cache_read_tokens"] == [0, 1_024, 0, 700, 0]
    assert found["input_tokens"] == [1_000, 1_600, 1_600, 700, 10]
    assert [at - START_AT for at in found["occurred_at"]] == [0, 27_000, 28_000, 29_000, 30_000]  # type: ignore[operator]
    assert found["row"] == [1, 2, 3, 4, 5]
    assert set(found["source"]) == {SOURCE}


@pytest.mark.parametrize(
    "bad, reason",
    [
        ("", "row 2: the file is empty"),
        ("[]", "row 2: must be an object with hash_ids, input_length, output_length, timestamp"),
        (line(1, 1, '"x"'), "row 2 hash_ids: must be a list of whole numbers"),
        (line(1, 1, "true"), "row 2 hash_ids: must be a list of whole numbers"),
        (line(-1, 1, "1"), "row 2 timestamp: must be a whole number of milliseconds"),
        (line(1, -1, "1"), "row 2 input_length: input_tokens must lie between 0 and"),
        (line(10**18, 1, "1"), "must lie between 1970 and 2199"),
        (line(1, 1, "1").replace("1,", "1.5,", 1), "row 2 timestamp: must be a whole number"),
    ],
)
def test_a_line_that_is_no_request_is_refused_and_the_others_count(bad: str, reason: str) -> None:
    found, (verdict,) = read(line(0, 600, "1"), bad, line(2, 600, "1"))
    assert verdict.row == 2
    assert reason in verdict.reason
    assert found["row"] == [1, 3]
    assert found["cache_read_tokens"] == [0, 512]


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"t\.jsonl: the file is empty"):
        read("")


def test_the_real_trace_has_its_published_sums(shared_data: Path) -> None:
    file = shared_data / "mooncake_conversation_trace.jsonl"
    table, verdicts = read_mooncake_trace(
        file.read_bytes(), name=file.name, starting_at=START_AT, assignment=ASSIGNMENT
    )
    assert (table.num_rows, verdicts) == (12_031, ())
    sums = {name: pc.sum(table[name]).as_py() for name in ("input_tokens", "output_tokens")}
    assert sums == {"input_tokens": 144_793_823, "output_tokens": 4_122_048}
    # 54,098,411 of 144,793,823 are 37.36 %.
    assert pc.sum(table["cache_read_tokens"]).as_py() == 54_098_411
