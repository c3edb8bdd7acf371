"""Bad rows and bad files through ``tokenworks rate``: what is no event is named, the rest counts.

Invariant: received = accepted + duplicate + conflict + rejected for every file, a bad row never
changes what the good ones cost, and nothing is coerced.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.journeys.made_files import (
    FORMATS,
    Json,
    Ran,
    amount_of,
    amounts,
    book,
    card,
    cloud_event,
    event,
    rate_of,
    rated,
    tokenworks,
    write_events,
    write_json,
)

BOOK = book(card(rate_of("input_tokens", "1", per=1)))
GOOD = event(1, {"input_tokens": 5})
COLUMNS = "id,source,account,time,model,service_tier,input_tokens"
CELLS = {
    "id": "e1",
    "source": "gw",
    "account": "a",
    "time": "2026-10-02T12:00:00Z",
    "model": "m",
    "service_tier": "standard",
    "input_tokens": "5",
}


def _rate_file(path: Path) -> Ran:
    value = write_json(path.parent / "book.json", BOOK)
    return tokenworks("rate", "--price-book", value, "--usage", path, "--format", "json")


def _rate_line(folder: Path, line: str | bytes) -> Ran:
    """A JSON lines file of the good event and one more line, which is row 2."""
    path = folder / "usage.jsonl"
    data = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(json.dumps(cloud_event(GOOD)).encode() + b"\n" + data + b"\n")
    return _rate_file(path)


def _rate_cells(folder: Path, **cells: str) -> Ran:
    """A CSV file of the good event and one more row e2 with these cells, which is row 3."""
    path = folder / "usage.csv"
    row = {**CELLS, "id": "e2", **cells}
    lines = [COLUMNS, ",".join(CELLS.values()), ",".join(row.values())]
    path.write_bytes("\n".join(lines).encode() + b"\n")
    return _rate_file(path)


def _refused(ran: Ran, *, row: int) -> str:
    """Why the row was refused, where it alone was and the good event is charged its 5."""
    assert ran.code == 1, ran.err
    events = ran.json["events"]
    assert (events["received"], events["accepted"], events["rejected"]) == (2, 1, 1)
    assert amounts(ran.json) == {("a", "m", "standard", "input_tokens"): "5"}
    (refused,) = ran.json["refused"]
    assert refused["row"] == row
    (line,) = ran.err.splitlines()
    assert line.startswith(f"tokenworks: usage.{'jsonl' if row == 2 else 'csv'}:{row}: ")
    reason: str = refused["reason"]
    assert reason
    return reason


def _line(count: str = "5", **fields: str) -> str:
    """A CloudEvents line whose input tokens, and other fields, are these JSON literals."""
    text = json.dumps(cloud_event(event(2, {"input_tokens": 987654321})))
    for name, literal in fields.items():
        for given in (GOOD.get(name), "e2"):
            text = text.replace(f'"{name}": {json.dumps(given)}', f'"{name}": {literal}')
    return text.replace("987654321", count)


# Numbers (faults 86 to 94).


NO_COUNTS = (
    *("-1", str(10**12 + 1), str(2**53 + 1), str(2**63 - 1), str(2**63), "1" + "0" * 30),
    *("9" * 4300, "9" * 5000, "true", "false", "1.0", "1.5", "null", "NaN", "Infinity"),
    *("-Infinity", "1e400", "1e3", "1E3", "1e999999999", "1e2000000", "1e-999999999"),
    *("0e999999999", "sNaN", "1_000", "0x10", "007", "+5", "\u0663", "\uff15", "--5"),
)
"""Texts that are no count in any format (faults 86 to 94)."""


def test_a_count_in_json_is_a_whole_number_up_to_its_limit(tmp_path: Path) -> None:
    quoted = (json.dumps(text) for text in ("5", "1,000", "1.000,00", " 12 ", *NO_COUNTS))
    counts = [*NO_COUNTS, "[]", "{}", "5,", *quoted]
    ran = _rate_line(tmp_path, "\n".join(_line(count) for count in counts))
    rows = [one["row"] for one in ran.json["refused"]]
    taken = [count for row, count in enumerate(counts, start=2) if row not in rows]
    assert (ran.code, taken) == (1, [])
    assert amounts(ran.json) == {("a", "m", "standard", "input_tokens"): "5"}


def test_a_count_in_csv_is_digits_up_to_its_limit(tmp_path: Path) -> None:
    counts = [*NO_COUNTS, "-0", '"1,5"', " 12 ", " 5", "5 ", '"1,000"', '"1.000,00"', "=5", "'5"]
    row = ",".join({**CELLS, "id": "e2", "input_tokens": "{}"}.values())
    lines = [COLUMNS, ",".join(CELLS.values()), *(row.format(count) for count in counts)]
    (tmp_path / "usage.csv").write_text("\n".join(lines), encoding="utf-8")
    ran = _rate_file(tmp_path / "usage.csv")
    reasons = {one["row"]: one["reason"] for one in ran.json["refused"]}
    for number, count in enumerate(counts, start=3):
        assert reasons[number].startswith(f"row {number} input_tokens: "), count
    assert amounts(ran.json) == {("a", "m", "standard", "input_tokens"): "5"}


@pytest.mark.parametrize("count", [0, 1, 2**31, 10**12 - 1, 10**12])
@pytest.mark.parametrize("form", FORMATS)
def test_a_count_up_to_the_limit_is_counted_exactly(tmp_path: Path, form: str, count: int) -> None:
    ran = rated(tmp_path, [event(2, {"input_tokens": count})], BOOK, form=form)
    assert ran.code == 0
    charged = amounts(ran.json).get(("a", "m", "standard", "input_tokens"), "0")
    assert charged == str(count)


@pytest.mark.parametrize("count", [-1, 10**12 + 1, 2**63 - 1])
def test_a_parquet_count_outside_its_limit_is_a_refused_row(tmp_path: Path, count: int) -> None:
    bad = event(2, {"input_tokens": count})
    ran = rated(tmp_path, [GOOD, bad], BOOK, form="parquet")
    assert ran.code == 1
    (refused,) = ran.json["refused"]
    assert refused["row"] == 2
    assert refused["reason"].startswith("row 2 input_tokens: ")


@pytest.mark.parametrize(
    "column", [pa.array([5.0]), pa.array([True]), pa.array(["5"]), pa.array([[5]])], ids=str
)
def test_a_parquet_column_that_cannot_hold_counts_exactly_is_refused(
    tmp_path: Path, column: pa.Array
) -> None:
    path = write_events(tmp_path, [GOOD], form="parquet")
    table = pq.read_table(path)
    at = table.column_names.index("input_tokens")
    pq.write_table(table.set_column(at, "input_tokens", column), path)
    assert 'usage.parquet column "input_tokens": counts must be integers, not ' in (
        _rate_file(path).sentence
    )


def test_parts_that_exceed_their_whole_are_a_refused_row_in_every_format(tmp_path: Path) -> None:
    bad = event(2, {"input_tokens": 3, "cache_read_tokens": 4})
    for form in FORMATS:
        ran = rated(tmp_path, [GOOD, bad], BOOK, form=form)
        (refused,) = ran.json["refused"]
        assert "input_tokens (3) is less than what it contains" in refused["reason"]
        assert ran.code == 1


def test_fractions_of_a_scaled_unit_are_exact_or_refused(tmp_path: Path) -> None:
    value = book(card(rate_of("audio_seconds", "2", per=1)))
    # 2.5 s at 2 a second are 5; 2.0005 s lies between two milliseconds.
    fine, off = event(1, {"audio_seconds": "2.5"}), event(2, {"audio_seconds": "2.0005"})
    for form in FORMATS:
        ran = rated(tmp_path, [fine, off], value, form=form)
        assert amounts(ran.json) == {("a", "m", "standard", "audio_seconds"): "5"}
        assert "has too many decimals" in ran.json["refused"][0]["reason"]


# Text and identity (faults 48, 49, 97 to 100).


@pytest.mark.parametrize(
    "literal",
    [
        *('""', '" e2"', '"e2 "', '"e\\u0000"', '"e\\ud800"', '"e\\u202e"', '"e\\u200b"'),
        *('"e\\ufeff"', '"e\\u001b[31m"', json.dumps("e" * 201), "2", "null", "true", '["e2"]'),
    ],
)
def test_an_id_in_json_is_1_to_200_plain_characters(tmp_path: Path, literal: str) -> None:
    ran = _rate_line(tmp_path, _line(id=literal))
    _refused(ran, row=2)
    # What a terminal would obey is shown as its escape.
    assert ran.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "text", ["", " e2", "e2 ", "e\0", "e\u202e", "e\u200b", "\ufeffe", "e" * 201]
)
def test_an_id_in_csv_is_1_to_200_plain_characters(tmp_path: Path, text: str) -> None:
    ran = _rate_cells(tmp_path, id=text)
    assert _refused(ran, row=3).startswith("row 3 id: ")
    assert ran.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize("other", ["E1", "e1\u0301", "\u00e91", "e\u03011"])
def test_ids_are_compared_byte_for_byte(tmp_path: Path, other: str) -> None:
    # Another case, or another Unicode form of the same letters, is another event: 5 + 5.
    for form in FORMATS:
        assert amount_of(rated(tmp_path, [GOOD, {**GOOD, "id": other}], BOOK, form=form)) == "10"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"  ",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        _line().replace('"id": "e2"', '"id": "e1", "id": "e2"').encode(),
        _line().replace('{"input_tokens"', '{"input_tokens": 1, "input_tokens"').encode(),
        _line().replace("usage.v1", "usage.v2").encode(),
        _line().replace('"1.0"', "1.0").encode(),
        _line().replace('"id": "e2", ', "").encode(),
        _line().replace('"model"', '"prompt": "secret", "model"').encode(),
        _line().replace("input_tokens", "input_token").encode(),
        _line().replace("input_tokens", "requests").encode(),
        _line().replace('"data"', '"data_base64"').encode(),
        _line().encode("utf-16"),
        b'{"data":' * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_refused_with_its_number(tmp_path: Path, line: bytes) -> None:
    assert _refused(_rate_line(tmp_path, line), row=2).startswith("line 2")


def test_a_row_of_another_width_or_encoding_is_refused_with_its_number(tmp_path: Path) -> None:
    good = ",".join(CELLS.values()).encode()
    for row, said in (
        (b"", "is blank; remove it"),
        (b"e2,gw", "has 2 cells where the header has 7"),
        (good.replace(b"e1", b"e2") + b",", "has 8 cells where the header has 7"),
        (good.replace(b"e1", b"e\xff"), "is not UTF-8; save the file as UTF-8"),
        (good.replace(b"e1", b'e"2'), "has a quote that does not enclose a whole cell"),
        (good.replace(b"standard", b""), "service_tier: is empty; fill it in"),
    ):
        path = tmp_path / "usage.csv"
        path.write_bytes(b"\n".join([COLUMNS.encode(), good, row, b""]))
        assert _refused(_rate_file(path), row=3) == f"row 3 {said}"


# Time (faults 59, 73 to 75).


@pytest.mark.parametrize(
    "time",
    [
        *("2026-10-02T12:00:00", "2026-10-02 12:00:00Z", "2026-10-02", "1760000000", "noon"),
        *("2026-10-02T12:00:60Z", "2026-10-02T24:00:00Z", "2026-02-29T00:00:00Z", "NaT"),
        *("1969-12-31T23:59:59Z", "1900-01-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        *("10000-01-01T00:00:00Z", "2026-10-02T12:00:00+24:00", "2026-10-02T12:00:00.Z", ""),
    ],
)
def test_a_time_needs_an_offset_and_a_moment_that_exists(tmp_path: Path, time: str) -> None:
    assert "time" in _refused(_rate_line(tmp_path, _line(time=json.dumps(time))), row=2)
    assert _refused(_rate_cells(tmp_path, time=time), row=3).startswith("row 3 time: ")


@pytest.mark.parametrize(
    "time",
    [
        *("2026-10-02t12:00:00z", "2026-10-03T02:00:00+14:00", "2026-10-02T12:00:00-00:00"),
        *("2026-10-02T12:00:00.000000999999Z", "2026-10-02T12:00:00.0Z"),
    ],
)
def test_other_spellings_of_a_moment_are_the_same_moment(tmp_path: Path, time: str) -> None:
    # The same event told twice, its time spelled otherwise: a duplicate, in both formats.
    again = _line(time=json.dumps(time), id='"e1"')
    for ran in (_rate_line(tmp_path, again), _rate_cells(tmp_path, id="e1", time=time)):
        assert ran.code == 0, ran.err
        assert (ran.json["events"]["accepted"], ran.json["events"]["duplicate"]) == (1, 1)


def test_a_parquet_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    path = write_events(tmp_path, [GOOD], form="parquet")
    table = pq.read_table(path)
    at = table.column_names.index("time")
    pq.write_table(table.set_column(at, "time", table.column(at).cast(pa.timestamp("us"))), path)
    assert "has no time zone; write it with one, in UTC" in _rate_file(path).sentence


# Repetition (faults 43, 45, 47).


def test_duplicates_conflicts_and_other_sources_are_told_apart(tmp_path: Path) -> None:
    other = {**GOOD, "units": {"input_tokens": 6}}
    events: list[Json] = [other, GOOD, GOOD, {**GOOD, "source": "gw2"}, {**GOOD, "account": "b"}]
    # Of one identity with several contents at one time the first by content is kept: account a with
    # 5 tokens, which stands twice. 6 tokens, and account b, are conflicts. gw2 is another event.
    reasons = []
    for form in FORMATS:
        ran = rated(tmp_path, events, BOOK, form=form)
        assert ran.code == 1
        assert amounts(ran.json) == {("a", "m", "standard", "input_tokens"): "10"}
        found = ran.json["events"]
        assert (found["received"], found["accepted"]) == (5, 2)
        assert (found["duplicate"], found["conflict"], found["rejected"]) == (1, 2, 0)
        shift = 1 if form == "csv" else 0  # the header of a CSV file is its row 1
        assert [one["row"] - shift for one in ran.json["refused"]] == [1, 5]
        reasons.append(ran.json["refused"][0]["reason"].replace(f"row {1 + shift} ", ""))
    assert reasons[0] == (
        'the event "e1" of "gw" has other content here than in row 2, which is kept'
    )


def test_a_file_that_was_concatenated_with_itself_costs_the_same(tmp_path: Path) -> None:
    events = [event(i, {"input_tokens": i}) for i in range(100)]
    once = rated(tmp_path, events, BOOK)
    twice = rated(tmp_path, events + events, BOOK)
    assert amount_of(once) == amount_of(twice) == "4950"  # 0 + 1 + ... + 99
    assert twice.json["events"]["duplicate"] == 100


def test_twenty_refusals_are_named_on_stderr_and_json_names_all(tmp_path: Path) -> None:
    bad = [event(i, {"input_tokens": -1}) for i in range(2, 27)]
    ran = rated(tmp_path, [GOOD, *bad], BOOK)
    assert [one["row"] for one in ran.json["refused"]] == list(range(2, 27))
    lines = ran.err.splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("usage.jsonl: 5 more rows refused (--format json names all)")


# Files as a whole.


@pytest.mark.parametrize(
    "name, data, said",
    [
        ("u.jsonl", b"", "u.jsonl: the file is empty"),
        ("u.jsonl", b"\n \n", "u.jsonl: the file is empty"),
        ("u.jsonl", b"\xef\xbb\xbf{}", "u.jsonl: begins with a byte order mark"),
        ("u.jsonl", b"PK\x03\x04\n\xff\n", "u.jsonl: holds no usage event: all 2 rows are refused"),
        ("u.json", b'{\n "specversion": "1.0"\n}\n', "u.json: holds no usage event: all 3 rows"),
        ("u.csv", b"", "u.csv: the file is empty"),
        ("u.csv", b"\n", "u.csv: the file is empty, or its first line is"),
        ("u.csv", b"\xef\xbb\xbf" + COLUMNS.encode(), "u.csv: begins with a byte order mark"),
        ("u.csv", COLUMNS.encode("utf-16"), "u.csv:1: the header is not CSV in UTF-8"),
        ("u.csv", COLUMNS[2:].encode(), 'u.csv: the column "" is unknown'),
        ("u.csv", (COLUMNS + ",id").encode(), 'u.csv: the column "id" stands twice; keep one'),
        ("u.csv", (COLUMNS + ",input_token").encode(), 'did you mean "input_tokens"?'),
        ("u.csv", b"id,source,account,time,model", 'the column "service_tier" is missing; add it'),
        ("u.csv", COLUMNS.encode() + b"\nx\n", "u.csv: holds no usage event: all 1 rows are"),
        ("u.parquet", b"", "u.parquet: the file is empty"),
        ("u.parquet", b"PAR1 and no more", "u.parquet: this is not a whole Parquet file"),
        ("u", b"x", 'is not known by its ending ""'),
        ("u.xlsx", b"x", 'is not known by its ending ".xlsx"; usage files end in .csv, .parquet,'),
    ],
)
def test_a_file_in_which_nothing_can_be_read_is_one_sentence(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert said in _rate_file(path).sentence


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "absent.jsonl", "folder.csv"])
def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert f"{name}: cannot be read (no such file" in _rate_file(tmp_path / name).sentence


def test_a_parquet_file_that_was_cut_or_damaged_is_refused(tmp_path: Path) -> None:
    path = write_events(tmp_path, [GOOD] * 1000, form="parquet")
    data = path.read_bytes()
    for damaged in (data[:-100], data[: len(data) // 2], b"PAR1" + data[100:]):
        path.write_bytes(damaged)
        assert _rate_file(path).sentence.startswith("usage.parquet: ")


def test_a_file_with_a_header_and_no_row_is_usage_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "u.csv"
    path.write_text(COLUMNS + "\n")
    ran = _rate_file(path)
    assert (ran.code, ran.json["accounts"], ran.json["total_exact"]) == (0, [], "0")


@pytest.mark.parametrize("name", ["a'b.csv", "a b;.csv", "[x]*?.csv", "-u.csv", "$(id).csv"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(write_events(tmp_path, [GOOD], form="csv").read_bytes())
    assert amount_of(_rate_file(tmp_path / name)) == "5"
    parquet = Path(name).with_suffix(".parquet").name
    (tmp_path / parquet).write_bytes(write_events(tmp_path, [GOOD], form="parquet").read_bytes())
    assert amount_of(_rate_file(tmp_path / parquet)) == "5"
