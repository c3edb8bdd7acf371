"""Reading the fields of a benchmark's JSON: each is what is asked for, or named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pricing_rules.cost.readers.measurements import RowError
from pricing_rules.cost.readers.run_fields import RunFields

FIELDS = RunFields(
    {
        "zero": 0,
        "seven": 7,
        "whole": 7.0,
        "half": 0.5,
        "text": " a ",
        "blank": " ",
        "yes": True,
        "null": None,
        "tiny": 1e-10,
        "huge": 2e12,
        "below": -1,
        "list": ["a", "b"],
        "mixed": ["a", 1],
        "inner": {"deep": {"five": 5}},
        "many": {"x": {"n": 1}, "y": {"n": 2}},
        "ttft": 0.25,
        "tpot_ms": 40,
    }
)


def test_null_counts_as_missing() -> None:
    assert not FIELDS.has("null")
    assert FIELDS.has("absent", "seven")
    assert FIELDS.positive_or_none("null") is None
    assert FIELDS.text_or_none("null") is None


def test_texts_lose_the_spaces_around_them_and_blank_is_none() -> None:
    assert (FIELDS.text_or_none("text"), FIELDS.text_or_none("blank")) == ("a", None)
    assert FIELDS.texts("list") == ("a", "b")
    assert FIELDS.texts("absent") == ()


def test_counts_are_whole_and_zero_is_one_only_where_it_may_be() -> None:
    assert FIELDS.count("seven") == FIELDS.count("whole") == 7
    assert (FIELDS.count_or_none("zero"), FIELDS.count_or_none("absent")) == (0, None)


def test_a_time_is_in_seconds_or_milliseconds_by_its_key_and_never_by_its_size() -> None:
    assert FIELDS.milliseconds_or_none("ttft") == 250.0  # .25 s
    assert FIELDS.milliseconds_or_none("tpot") == 40.0  # 40 ms, not 40 s
    assert FIELDS.milliseconds_or_none("absent", "ttft") == 250.0
    assert FIELDS.milliseconds_or_none("absent") is None


def test_zero_and_false_are_not_the_same() -> None:
    assert FIELDS.is_zero("zero")
    assert not FIELDS.is_zero("seven")
    assert not RunFields({"no": False}).is_zero("no")


def test_objects_are_read_from_a_list_or_from_an_object_of_them() -> None:
    assert [one.count("n") for one in FIELDS.objects("many")] == [1, 2]
    assert FIELDS.objects("absent") == ()
    assert FIELDS.inside("inner", "deep").count("five") == 5
    assert not FIELDS.inside("absent", "deep").has("five")


def test_what_is_shown_to_people_is_plain_and_short() -> None:
    shown = RunFields({"long": "x" * 99, "escape": "a\x1b[31mb", "rate": "inf", "list": [1]})
    assert shown.shown("long") == "x" * 60
    assert shown.shown("escape") == "a[31mb"
    assert (shown.shown("rate"), shown.shown("list"), shown.shown("absent")) == ("inf", "", "")


def test_truth_is_a_boolean_and_false_where_it_is_missing() -> None:
    assert (FIELDS.truth("yes"), FIELDS.truth("absent")) == (True, False)


@pytest.mark.parametrize(
    "read, said",
    [
        (lambda: RunFields([1]), "the run is not an object of fields"),
        (lambda: FIELDS.inside("seven"), "seven is not an object of fields"),
        (lambda: FIELDS.inside("inner", "deep", "five"), "inner.deep.five is not an object"),
        (lambda: FIELDS.inside("inner").positive("x"), "inner.x is missing"),
        (lambda: FIELDS.objects("seven"), "seven is not a list"),
        (lambda: FIELDS.objects("list"), "list[0] is not an object of fields"),
        (lambda: FIELDS.text_or_none("seven"), "seven is not a text"),
        (lambda: FIELDS.texts("mixed"), "mixed is not a list of texts"),
        (lambda: FIELDS.texts("seven"), "seven is not a list of texts"),
        (lambda: FIELDS.truth("seven"), "seven is neither true nor false"),
        (lambda: FIELDS.count("zero"), "zero is missing or 0"),
        (lambda: FIELDS.count("absent"), "absent is missing or 0"),
        (lambda: FIELDS.count("half"), "half is not a whole number"),
        (lambda: FIELDS.count("below"), "below is not a whole number"),
        (lambda: FIELDS.count("yes"), "yes is not a whole number"),
        (lambda: FIELDS.count("text"), "text is not a whole number"),
        (lambda: FIELDS.positive("absent"), "absent is missing"),
        (lambda: FIELDS.positive("zero"), "zero is not a number from 1e-09"),
        (lambda: FIELDS.positive("tiny"), "tiny is not a number from 1e-09"),
        (lambda: FIELDS.positive("huge"), "huge is not a number from 1e-09 to 1e+12"),
        (lambda: FIELDS.positive("yes"), "yes is not a number"),
        (lambda: FIELDS.positive("text"), "text is not a number"),
    ],
)
def test_what_is_not_what_was_asked_for_is_named(read: Callable[[], object], said: str) -> None:
    with pytest.raises(RowError) as refused:
        read()
    assert said in str(refused.value)
    assert refused.value.kind == "unreadable"
