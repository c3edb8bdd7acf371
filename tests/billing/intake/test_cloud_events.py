"""CloudEvents lines: the quick reader takes what the strict one does; others have a verdict."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.intake.cloud_events import _quick, _strict, read_cloud_events
from pricing_rules.document import DocumentError
from pricing_rules.usage.event import MAX_EVENT_BYTES

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "gateway",
    "type": "tokenworks.usage.v1",
    "subject": "acme",
    "time": "2026-10-01T00:00:00Z",
    "data": {
        "model": "llama:8b",
        "service_tier": "standard",
        "units": {"input_tokens": 10, "cache_read_tokens": 4},
    },
}


COUNT = b'"input_tokens": 10'


def line(**changed: Any) -> bytes:
    """The event with some envelope fields changed; None leaves one out."""
    merged = {**EVENT, **changed}
    return json.dumps({k: v for k, v in merged.items() if v is not None}).encode()


def with_data(**changed: Any) -> bytes:
    """The event with some fields of its data changed."""
    return line(data={**EVENT["data"], **changed})


def verdict_of(data: bytes) -> str:
    """The reason of the only verdict on these bytes, of which no event is accepted."""
    table, verdicts = read_cloud_events(data, name="events.jsonl")
    assert table.num_rows == 0
    assert len(verdicts) == 1
    return verdicts[0].reason


def test_an_event_becomes_one_row_in_canonical_columns() -> None:
    data = with_data(
        region="eu",
        outcome="failed",
        dimensions={"team": "red"},
        attributes={"trace": "t:1", "n": 3},
    )
    table, verdicts = read_cloud_events(data + b"\n", name="events.jsonl")
    assert verdicts == ()
    assert table.to_pylist() == [
        {
            "row": 1,
            "id": "1",
            "source": "gateway",
            "account": "acme",
            "occurred_at": 1_790_812_800_000_000,
            "model": "llama:8b",
            "service_tier": "standard",
            "region": "eu",
            "request_tokens": 10,
            "outcome": "failed",
            "input_tokens": 10,
            "cache_read_tokens": 4,
            "dimensions.team": "red",
        }
    ]
    assert table.schema.field("input_tokens").type == pa.int64()


def test_counts_in_fractions_are_scaled_and_absent_ones_are_null() -> None:
    lines = [with_data(units={"audio_seconds": "2.5"}), with_data(units={"output_tokens": 0})]
    table, _ = read_cloud_events(b"\n".join(lines), name="events.jsonl")
    assert table["audio_seconds"].to_pylist() == [2_500, None]
    assert table["output_tokens"].to_pylist() == [None, 0]
    assert table["request_tokens"].to_pylist() == [0, 0]


def test_request_tokens_of_null_default_to_the_input() -> None:
    table, _ = read_cloud_events(with_data(request_tokens=None), name="events.jsonl")
    assert table["request_tokens"].to_pylist() == [10]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_final_newline_opens_no_line_and_a_blank_line_is_refused(ending: bytes) -> None:
    data = ending.join([line(), b"", b"  ", line(id="2"), b""])
    table, verdicts = read_cloud_events(data, name="events.jsonl")
    assert table["row"].to_pylist() == [1, 4]
    assert [v.reason for v in verdicts] == [
        "line 2: is blank; remove it",
        "line 3: is blank; remove it",
    ]


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\n"])
def test_an_empty_file_is_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^events\.jsonl: the file is empty"):
        read_cloud_events(data, name="events.jsonl")


def test_a_byte_order_mark_is_refused_as_a_whole() -> None:
    with pytest.raises(DocumentError, match="byte order mark"):
        read_cloud_events(b"\xef\xbb\xbf" + line(), name="events.jsonl")


BAD_LINES = [
    (line(trace="x"), "line 1 trace: unknown field"),
    (with_data(prompt="hello"), "line 1 data.prompt: unknown field"),
    (line(id=None), "line 1 id: missing field"),
    (line(time=None), "line 1 time: is missing; state it: only an event that is sent to the"),
    (line().replace(b'"2026-10-01T00:00:00Z"', b"null"), "line 1 time: is missing; state it"),
    (line(time=""), "line 1 time: must be a moment such as"),
    (line(dataschema=""), "line 1 dataschema"),
    (line(type="other"), "line 1 type"),
    (line(specversion="0.3"), "line 1 specversion"),
    (line(time="2026-10-01T00:00:00"), "the offset is missing"),
    (line(time="2026-02-30T00:00:00Z"), "is not a moment that exists"),
    (line(time="2200-01-01T00:00:00Z"), "must lie between 1970 and 2199"),
    (line(time=5), "line 1 time"),
    (line(id=""), "line 1 id"),
    (line(id="x" * 201), "line 1 id"),
    (line(subject=" acme"), "must not begin or end with a space"),
    (line(subject="a\u200bb"), "invisible character U+200B"),
    (line(source="a\x00b"), "invisible character U+0000"),
    (line(source="a\x7fb"), "invisible character U+007F"),
    (line().replace(b"acme", b"a\tme"), "this is not JSON"),
    (line().replace(b"acme", b"\\ud800"), "lone surrogate"),
    (line().replace(b"acme", b"\xff"), "is not UTF-8"),
    (line()[:-1], "this is not JSON"),
    (line() + b" {}", "this is not JSON"),
    (b"[1]", "line 1"),
    (b"[" * 60_000, "nested deeper than 64 levels"),
    (line(data="x"), "line 1 data"),
    (line().replace(b'"id": "1"', b'"id": "1", "id": "1"'), '"id" stands twice'),
    (line().replace(b'"id": "1"', b'"id": "1", "i\\u0064": "2"'), '"id" stands twice'),
    (line().replace(b'"input_tokens": 10', b'"input_tokens": 9, "input_tokens": 10'), "twice"),
    (line().replace(COUNT, COUNT[:-2] + b"NaN"), "NaN is not a number"),
    (line().replace(COUNT, COUNT[:-2] + b"-Infinity"), "-Infinity is not a number"),
    (line().replace(COUNT, COUNT[:-2] + b"1e400"), "out of range"),
    (line().replace(COUNT, COUNT[:-2] + b"9" * 5_000), "digits"),
    (line().replace(COUNT, COUNT[:-2] + b"1" + b"0" * 18), "must lie between 0 and 1000000000000"),
    (with_data(units={"input_tokens": 10.0}), "must be a whole number, not 10.0"),
    (with_data(units={"input_tokens": True}), "must be a whole number, not True"),
    (with_data(units={"input_tokens": "10"}), "must be a whole number, not '10'"),
    (with_data(units={"input_tokens": -1}), "must lie between 0 and"),
    (with_data(units={"input_tokens": 10**12 + 1}), "must lie between 0 and"),
    (with_data(units={"tokens": 1}), '"tokens" is not a unit'),
    (with_data(units={"requests": 1}), '"requests" is the number of events'),
    (with_data(units={"audio_seconds": "2.5001"}), "too many decimals"),
    (with_data(units={"input_tokens": 1, "cache_read_tokens": 2}), "is less than what it contains"),
    (with_data(units=[]), "data.units"),
    (with_data(request_tokens=-1), "data.request_tokens"),
    (with_data(request_tokens=10**12 + 1), "data.request_tokens"),
    (with_data(request_tokens=1.0), "data.request_tokens"),
    (with_data(region=None), "data.region"),
    (with_data(outcome="done"), "data.outcome"),
    (with_data(dimensions={"team": ""}), "data.dimensions"),
    (with_data(dimensions={" team": "red"}), "data.dimensions"),
    (with_data(attributes={"x": 1.5}), "must be a string, a whole number or true/false"),
    (with_data(attributes={"x": {"y": 1}}), "must be a string, a whole number or true/false"),
    (with_data(attributes={"x": 10**41}), "digits"),
]


@pytest.mark.parametrize("data, sentence", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_line_that_is_no_event_has_one_sentence_with_its_number(
    data: bytes, sentence: str
) -> None:
    reason = verdict_of(data)
    assert sentence in reason
    assert reason.startswith("line 1")


@pytest.mark.parametrize(
    "data",
    [
        line(),
        line(id="a:b", subject="a b", source="urn:x:y", dataschema="https://example.com/1"),
        line(datacontenttype="application/json"),
        line().replace(b'"id"', b'"datacontenttype": null, "dataschema": null, "id"'),
        with_data(region="", request_tokens=0, outcome="cancelled", dimensions={}, attributes={}),
        with_data(dimensions={"a:b": "c:d"}, attributes={"e:f": "g:h", "yes": True, "n": -(2**63)}),
        with_data(units={}),
        line(time=None),
        line().replace(b'"2026-10-01T00:00:00Z"', b"null"),
        line(time="2026-10-01T00:00:59.5Z"),
        line(time="2026-10-01T00:00:00.123456789Z"),
        line(time="2026-10-01t00:00:00.1z"),
        line(time="2026-10-01T00:00:00-02:00"),
        line(time="2199-12-31T23:59:59.999999Z"),
        with_data(units={"audio_seconds": "2.5", "passthrough_spend": 3}),
    ],
)
def test_a_plain_line_is_read_quickly_and_as_the_strict_reader_does(data: bytes) -> None:
    assert _quick(data) == _strict(data, name="line 1")


@pytest.mark.parametrize(
    "data",
    [
        line(subject="Ångström"),
        line().replace(b"acme", b"ac\\u006de"),
        with_data(attributes={"x": 2**63}),
        with_data(attributes={"x": "a\x7f"}),
    ],
)
def test_a_line_that_the_quick_reader_leaves_alone_is_read_all_the_same(data: bytes) -> None:
    assert _quick(data) is None
    assert read_cloud_events(data, name="events.jsonl")[0].num_rows == 1


@pytest.mark.parametrize("letter", ["x", "\u00e9"], ids=["quick", "strict"])
def test_a_line_has_64_kib_at_most_in_a_file_too(letter: str) -> None:
    def of(size_bytes: int, number: int) -> bytes:
        empty = with_data(attributes={"a": "", "letter": letter})
        padding = "x" * (size_bytes - len(empty))
        text = line(id=str(number), data={**EVENT["data"], "attributes": {"a": padding}})
        return text[:-3] + b', "letter": ' + json.dumps(letter).encode() + b"}}}"

    sizes = (MAX_EVENT_BYTES - 1, MAX_EVENT_BYTES, MAX_EVENT_BYTES + 1)
    lines = [of(size, number) for number, size in enumerate(sizes, start=1)]
    assert [len(one) for one in lines] == list(sizes)
    assert [_quick(one) is not None for one in lines] == [letter == "x", letter == "x", False]
    table, verdicts = read_cloud_events(b"\n".join(lines), name="events.jsonl")
    assert table["row"].to_pylist() == [1, 2]
    (verdict,) = verdicts
    assert verdict.reason == (
        "line 3: has 65,537 bytes, and an event at most 65,536; leave out attributes"
    )


TIMES = st.from_regex(
    r"(20(26|00)|1970|2200)-1[0-3]-31[Tt]2[34]:5[09]:[56][09](\.[0-9]{0,13})?([Zz]|[+-]02:00)?",
    fullmatch=True,
)


@given(time=TIMES)
def test_a_moment_is_read_quickly_as_the_strict_reader_reads_it(time: str) -> None:
    quick = _quick(line(time=time))
    try:
        strict = _strict(line(time=time), name="line 1")
    except DocumentError:
        assert quick is None
        return
    assert quick == strict


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-1, 10**13)
    | st.floats()
    | st.sampled_from(
        ["", "2.5", "a:b", " x", "é", "\\", "eu", "completed", "2026-10-01T00:00:00Z"]
    )
)
KEYS = st.sampled_from(["input_tokens", "cache_read_tokens", "audio_seconds", "team", "a:b", ""])
VALUES = SCALARS | st.dictionaries(KEYS, SCALARS, max_size=3)
FIELDS = [*EVENT, "dataschema", "datacontenttype", "other"]
DATA_FIELDS = [
    *EVENT["data"],
    "region",
    "request_tokens",
    "outcome",
    "dimensions",
    "attributes",
    "x",
]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """The event with a few fields drawn anew, and sometimes a piece of it doubled."""
    data = {
        **EVENT["data"],
        **draw(st.dictionaries(st.sampled_from(DATA_FIELDS), VALUES, max_size=2)),
    }
    event = {**EVENT, "data": data}
    event.update(draw(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=1)))
    raw = json.dumps(event, ensure_ascii=draw(st.booleans())).encode()
    doubled = draw(
        st.sampled_from([b"", b'"id": "1", ', b'"input_tokens": 10, ', b'"units": {}, '])
    )
    return raw.replace(doubled, doubled * 2, 1)


@given(data=lines())
def test_what_the_quick_reader_takes_the_strict_one_takes_too(data: bytes) -> None:
    quick = _quick(data)
    if quick is not None:
        assert quick == _strict(data, name="line 1")


@given(data=st.binary(min_size=1, max_size=40) | lines())
def test_every_line_is_an_event_or_has_a_verdict(data: bytes) -> None:
    try:
        table, verdicts = read_cloud_events(data, name="events.jsonl")
    except DocumentError:
        return
    rows = table["row"].to_pylist() + [v.row for v in verdicts]
    assert sorted(rows) == list(range(1, len(rows) + 1))
