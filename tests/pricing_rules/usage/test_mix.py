"""A usage mix is read strictly: its shapes, hours and leaves tell of the same events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pricing_rules.document import DocumentError, dump
from pricing_rules.usage.mix import UsageMix, inclusive_count, load_usage_mix

Json = dict[str, Any]

# Three requests: 1,000 in of which 400 cached and 100 out; 3 in, 0 out; 2 in, 1 out.
SHAPES = [
    {"events": 1, "input_tokens": 3, "cache_read_tokens": 0, "output_tokens": 0},
    {"events": 1, "input_tokens": 2, "cache_read_tokens": 0, "output_tokens": 1},
    {"events": 1, "input_tokens": 1000, "cache_read_tokens": 400, "output_tokens": 100},
]


def entry(**changed: Any) -> Json:
    hours = [0] * 168
    hours[0], hours[167] = 2, 1
    return {
        "account": "acme",
        "model": "m",
        "service_tier": "standard",
        "events": 3,
        "leaves": {"input_tokens": 605, "cache_read_tokens": 400, "output_tokens": 101},
        "shapes": SHAPES,
        "events_by_hour_of_week": hours,
        **changed,
    }


def mix(*entries: Json, **changed: Any) -> Json:
    return {
        "schema": "tokenworks.usage-mix/1",
        "start_at": "2026-10-01T00:00:00Z",
        "end_at": "2026-11-01T00:00:00Z",
        "entries": list(entries),
        **changed,
    }


def read(value: Json) -> UsageMix:
    return load_usage_mix(json.dumps(value).encode(), name="mix.json")


def refused(value: Json) -> str:
    with pytest.raises(DocumentError) as found:
        read(value)
    return str(found.value)


def test_a_mix_reads_back_as_it_was_written() -> None:
    value = mix(entry(), entry(service_tier="zzz"))
    found = read(value)
    assert dump(found) == value
    assert found.events == 6
    assert [one.key for one in found.entries] == [("acme", "m", "standard"), ("acme", "m", "zzz")]


def test_a_size_class_is_one_power_of_two_of_input_by_one_of_output() -> None:
    # 3 is binary 11 and 2 is 10: two digits; 1,000 has ten, 100 seven.
    assert [shape.size_class for shape in read(mix(entry())).entries[0].shapes] == [
        (2, 0),
        (2, 1),
        (10, 7),
    ]


def test_what_a_unit_contains_counts_for_it() -> None:
    leaves = {"input_tokens": 10, "cache_read_tokens": 4, "cache_audio_read_tokens": 1}
    counts = {unit: inclusive_count(leaves, unit=unit) for unit in (*leaves, "output_tokens")}
    assert counts == {
        "input_tokens": 15,
        "cache_read_tokens": 5,
        "cache_audio_read_tokens": 1,
        "output_tokens": 0,
    }


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"events": 4}, "entries[0]: shapes tells of 3 events, and the entry of 4"),
        ({"events": 0}, "entries[0].events: input should be greater than or equal to 1"),
        (
            {"events_by_hour_of_week": [1] + [0] * 167},
            "events_by_hour_of_week tells of 1 events, and the entry of 3",
        ),
        ({"events_by_hour_of_week": [3]}, "events_by_hour_of_week: "),
        (
            {"leaves": {"input_tokens": 605, "cache_read_tokens": 399, "output_tokens": 101}},
            "the shapes hold 1005 input_tokens, and the leaves 1004",
        ),
        ({"leaves": {"requests": 1}}, '"requests" is not a unit that an event reports'),
        ({"leaves": {"output_tokens": 0}}, "leaves.output_tokens: input should be greater than"),
        ({"shapes": SHAPES[::-1]}, "not one for each size class, from the smallest on"),
        (
            {"shapes": [{**SHAPES[0], "cache_read_tokens": 4}, *SHAPES[1:]]},
            "cache_read_tokens (4) are more than the input_tokens (3) that they are part of",
        ),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(changed: Json, said: str) -> None:
    assert said in refused(mix(entry(**changed)))


def test_two_shapes_of_one_size_class_are_refused() -> None:
    # 2 and 3 input tokens without output lie in one class; together they are one shape.
    doubled = [SHAPES[0], {**SHAPES[0], "input_tokens": 2}, SHAPES[2]]
    assert "not one for each size class" in refused(mix(entry(shapes=doubled)))


def test_entries_stand_once_and_in_order() -> None:
    assert "two entries of acme / m / standard; add them up" in refused(mix(entry(), entry()))
    said = refused(mix(entry(account="b"), entry()))
    assert "the entry of acme / m / standard stands after that of b / m / standard" in said


def test_a_mix_ends_after_it_starts() -> None:
    assert "a period must end after it starts" in refused(mix(end_at="2026-10-01T00:00:00Z"))


def test_a_mix_of_nothing_is_one() -> None:
    assert read(mix()).events == 0
