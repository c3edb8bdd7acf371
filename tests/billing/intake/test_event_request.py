"""The events of a request are read one by one, as the published schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.intake.event_request import (
    MAX_EVENTS,
    EventRequest,
    RequestForm,
    TooManyEventsError,
    read_event_request,
)
from pricing_rules.document import DocumentError, load_json
from pricing_rules.usage.event import UsageEvent
from tests.journeys.made_files import cloud_event, event

Json = Any

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)

PATHS = [
    (),
    *[(name,) for name in UsageEvent.model_fields],
    *[("data", name) for name in ("model", "service_tier", "region", "units", "request_tokens")],
    *[("data", name) for name in ("outcome", "dimensions", "attributes", "more")],
    ("data", "units", "input_tokens"),
    ("data", "units", "output_tokens"),
    ("data", "attributes", "a"),
    ("more",),
]


@st.composite
def nearly_events(draw: st.DrawFn) -> Json:
    """An event, with something of it replaced by, or left out for, any JSON value."""
    made = cloud_event(event(draw(st.integers(0, 3)), {"input_tokens": 5, "output_tokens": 1}))
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=2)):
        if not path:
            return draw(JSON)
        at = made
        for name in path[:-1]:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                return made
        at[path[-1]] = draw(JSON | st.just("2026-10-01T00:00:00+02:00") | st.just(""))
    return made


def text_of(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def is_event(text: bytes) -> bool:
    """What the published schema's model says, on its own."""
    try:
        load_json(UsageEvent, text, name="event")
    except DocumentError:
        return False
    return True


def accepted(found: EventRequest) -> list[int]:
    return list(found.rows)


@given(values=st.lists(nearly_events(), min_size=1, max_size=4))
def test_an_event_of_a_batch_is_accepted_exactly_as_the_model_says(values: list[Json]) -> None:
    texts = [text_of(value) for value in values]
    expected = [row for row, text in enumerate(texts, start=1) if is_event(text)]
    bodies: list[tuple[RequestForm, bytes]] = [("lines", b"\n".join(texts))]
    bodies.append(("batch", b"[" + b",".join(texts) + b"]"))
    if len(texts) == 1:
        bodies.append(("event", texts[0]))
    for form, body in bodies:
        try:
            found = read_event_request(body, form=form)
        except DocumentError:
            # What no parser takes (NaN, half a surrogate pair) breaks an array as a whole.
            assert form == "batch"
            assert len(expected) < len(texts)
            continue
        assert accepted(found) == expected
        assert found.received == len(texts)
        rows = sorted([*expected, *(one.row for one in found.refused)])
        assert rows == list(range(1, len(texts) + 1))


@given(body=st.binary(max_size=60), form=st.sampled_from(["event", "batch", "lines"]))
def test_any_bytes_are_read_or_refused(body: bytes, form: RequestForm) -> None:
    try:
        found = read_event_request(body, form=form)
    except DocumentError:
        return
    assert found.received >= 1
    assert accepted(found) == []


@pytest.mark.parametrize(
    "change, pointer",
    [
        ({"id": 5}, "/id"),
        ({"data": 5}, "/data"),
        ({"more": 5}, "/more"),
        ({"time": "2026-10-01T00:00:00"}, "/time"),
    ],
)
def test_a_refusal_points_at_what_is_wrong(change: Json, pointer: str) -> None:
    made = {**cloud_event(event(1, {"input_tokens": 5})), **change}
    (refused,) = read_event_request(text_of(made), form="event").refused
    assert refused.pointer == pointer
    assert (refused.source, refused.id) == (("gw", "e1") if change != {"id": 5} else ("", ""))


@pytest.mark.parametrize("count, refused", [(MAX_EVENTS, False), (MAX_EVENTS + 1, True)])
@pytest.mark.parametrize("form", ["batch", "lines"])
def test_a_request_has_a_largest_number_of_events(
    form: RequestForm, count: int, refused: bool
) -> None:
    ones = [b"1"] * count
    body = b"[" + b",".join(ones) + b"]" if form == "batch" else b"\n".join(ones)
    if refused:
        with pytest.raises(TooManyEventsError, match="10,001 events; send at most 10,000"):
            read_event_request(body, form=form)
    else:
        assert read_event_request(body, form=form).received == count
