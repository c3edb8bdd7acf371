"""The rules in SQL accept what the readers of pricing_rules accept, with the same values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from billing.engines.event_checks import count_sql, fault_of, moment_sql, name_sql
from pricing_rules.document import Name
from pricing_rules.period import parse_moment
from pricing_rules.usage.units import scaled_count

NAME: TypeAdapter[str] = TypeAdapter(Name)
EDGES = (
    "\x00\x09\x1f \x7f\x9f\xa0\u1680\u2000\u200a\u200b\u200f\u2028\u202e\u202f\u205f\u2060\u3000"
    "\ufeffaé😀\"',"
)
NAMES = st.text(st.sampled_from(EDGES), max_size=4) | st.text(max_size=3)
DIGITS = st.sampled_from("019.+-e/ ٣")
COUNTS = st.text(DIGITS, max_size=6) | st.sampled_from(
    [
        "1000000000000",
        "1000000000001",
        "1000000000000.001",
        "999999999999.999",
        "9" * 40,
        "00",
        "2.5000",
        "0.01",
        "0.001",
        "999999999999.99",
        "1/3600",
        "90/3600",
        "3600000000000000/3600",
        "3600000000000001/3600",
        "01/3600",
        "1/60",
        "2500/1000",
        "9" * 19 + "/1000",
    ]
)
MOMENTS = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["1969", "1970", "2026", "2024", "2199", "2200", "0000", "9999", "26"]),
    st.sampled_from(["01", "02", "12", "13", "00"]),
    st.sampled_from(["01", "28", "29", "31", "32", "1"]),
    st.sampled_from(["T", "t", " "]),
    st.sampled_from(["00", "23", "24"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["", ".5", ".123456", ".1234569", ".123456789012", ".1234567890123", "."]),
    st.sampled_from(["Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+24:00", "", "+0100"]),
)


def in_sql(texts: Sequence[str], *, expression: str) -> list[object]:
    """The expression over a column ``cell`` that holds the texts."""
    with duckdb.connect(":memory:") as connection:
        connection.register("texts", pa.table({"cell": pa.array(list(texts), type=pa.string())}))
        return [row[0] for row in connection.execute(f"SELECT {expression} FROM texts").fetchall()]


def in_python(texts: Sequence[str], *, read: Callable[[str], object]) -> list[object]:
    """What a reader makes of each text, None where it refuses it."""
    found: list[object] = []
    for text in texts:
        try:
            found.append(read(text))
        except ValueError:
            found.append(None)
    return found


@settings(max_examples=50)
@given(texts=st.lists(NAMES, min_size=1, max_size=200))
def test_a_name_in_sql_is_a_name_in_python(texts: list[str]) -> None:
    wanted = in_python(texts, read=NAME.validate_python)
    assert in_sql(texts, expression=name_sql("cell")) == wanted


def test_every_character_is_a_name_in_sql_where_it_is_one_in_python() -> None:
    texts = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assert in_sql(texts, expression=name_sql("cell")) == in_python(texts, read=NAME.validate_python)
    inner = [f"a{text}b" for text in texts if not text.isalnum()]
    assert in_sql(inner, expression=name_sql("cell")) == in_python(inner, read=NAME.validate_python)


def test_a_name_has_at_most_two_hundred_characters() -> None:
    texts = ["é" * 199, "é" * 200, "é" * 201]
    assert in_sql(texts, expression=name_sql("cell")) == [texts[0], texts[1], None]


@settings(max_examples=50)
@given(texts=st.lists(MOMENTS, min_size=1, max_size=200))
def test_a_moment_in_sql_is_a_moment_in_python(texts: list[str]) -> None:
    wanted = in_python(texts, read=parse_moment)
    assert in_sql(texts, expression=moment_sql("cell", is_text=True)) == wanted


def plain_count(text: str) -> int:
    """A whole number without leading zeros, as a CSV cell holds it."""
    if not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise ValueError(text)
    return scaled_count("input_tokens", count=int(text))


@settings(max_examples=50)
@given(texts=st.lists(COUNTS, min_size=1, max_size=200))
def test_a_count_in_sql_is_a_count_in_python(texts: list[str]) -> None:
    whole = count_sql("cell", unit="input_tokens", is_text=True)
    assert in_sql(texts, expression=whole) == in_python(texts, read=plain_count)


@pytest.mark.parametrize(
    "unit", ["audio_seconds", "passthrough_spend", "cache_storage_token_hours"]
)
@settings(max_examples=50)
@given(texts=st.lists(COUNTS, min_size=1, max_size=200))
def test_a_count_in_fractions_in_sql_is_one_in_python(unit: str, texts: list[str]) -> None:
    wanted = in_python(texts, read=lambda text: scaled_count(unit, count=text))
    assert in_sql(texts, expression=count_sql("cell", unit=unit, is_text=True)) == wanted


CELLS: dict[str, object] = {
    "id": "1",
    "source": "s",
    "account": "acme",
    "occurred_at": "2026-10-01T00:00:00Z",
    "model": "m",
    "service_tier": "standard",
    "region": None,
    "input_tokens": "5",
    "dimensions.team": None,
}


@pytest.mark.parametrize(
    "cell, value, sentence",
    [
        ("id", None, "id: is empty; fill it in"),
        ("account", "acme ", "account: must not begin or end with a space"),
        ("model", "a\u200bb", "model: must not hold the control or invisible character U+200B"),
        ("dimensions.team", "\t", "dimensions.team: must not hold the control"),
        ("occurred_at", "2026-10-01T00:00:00", "time: must be a moment"),
        ("occurred_at", -1, "time: must lie between 1970 and 2199"),
        ("input_tokens", "1.0", "input_tokens must be a whole number, not '1.0'"),
        ("input_tokens", "1000000000001", "input_tokens must lie between 0 and 1000000000000"),
        ("request_tokens", "-1", "request_tokens: must be a whole number, not '-1'"),
        ("outcome", "done", 'outcome: must be one of completed, cancelled, failed, not "done"'),
        ("cache_read_tokens", "6", "input_tokens (5) is less than what it contains"),
    ],
)
def test_a_refused_row_has_one_sentence_that_names_its_column(
    cell: str, value: object, sentence: str
) -> None:
    found = fault_of({**CELLS, cell: value}, file_names={"occurred_at": "time"})
    assert sentence in found


def test_a_row_without_a_fault_that_was_refused_is_a_bug_of_ours() -> None:
    with pytest.raises(RuntimeError, match="no fault"):
        fault_of(CELLS, file_names={})
