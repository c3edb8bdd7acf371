"""One usage event: the CloudEvents 1.0 envelope and what is counted inside it.

Invariant: an event that validates has a known identity, an offset in its time, if it states one,
counts within bounds, and no negative leaf; it holds no text of a prompt, and its JSON is short.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from pricing_rules.document import Document, DocumentError, Name, load_json
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.units import MAX_COUNT, UNIT_COUNTS_SCHEMA, scaled_count

EVENT_TYPE = "tokenworks.usage.v1"

MAX_EVENT_BYTES = 65_536
"""Of the JSON of one event: two hundred times what counts need, so that the rest is for attributes.
"""

Outcome = Literal["completed", "cancelled", "failed"]


def read_counts(counts: object) -> dict[str, int]:
    """Reported inclusive counts by unit name, at the units' integer scale, checked against one
    another.

    ValueError names the first unit that is unknown, off its bounds, or less than its parts.
    """
    if not isinstance(counts, dict):
        raise ValueError('must be an object such as {"input_tokens": 1200}')
    scaled = {str(name): scaled_count(str(name), count=count) for name, count in counts.items()}
    split_leaves(scaled)
    return scaled


UnitCounts = Annotated[
    dict[str, int], BeforeValidator(read_counts), WithJsonSchema(UNIT_COUNTS_SCHEMA)
]
"""Counts by unit name; inclusive, as providers report them."""


def _read_time(text: object) -> int | None:
    return None if text is None else parse_moment(text)


EventTime = Annotated[
    int | None,
    BeforeValidator(_read_time),
    PlainSerializer(moment_text, return_type=str, when_used="unless-none"),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
"""Microseconds that are an RFC 3339 text in JSON; None where an event states no moment."""


class UsageData(Document):
    """What was served: ``request_tokens`` (the size that context steps look at) defaults to
    input_tokens. ``attributes`` are for whoever reads the event: no store keeps or compares them.
    """

    model: Name
    service_tier: Name
    region: Name | Literal[""] = ""
    units: UnitCounts
    request_tokens: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None
    outcome: Outcome = "completed"
    dimensions: dict[Name, Name] = {}
    attributes: dict[Name, Any] = {}

    @property
    def size_tokens(self) -> int:
        """The request's size: ``request_tokens`` where given, else the input tokens."""
        if self.request_tokens is not None:
            return self.request_tokens
        return self.units.get("input_tokens", 0)


class UsageEvent(Document):
    """A CloudEvent of type ``tokenworks.usage.v1``; its identity is ``(source, id)``.

    ``time`` decides which price holds. Where it is missing, an event that is sent to the service
    happened when it was received; a file has no such moment, and must state it.
    """

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Literal["tokenworks.usage.v1"]
    subject: Name
    time: EventTime = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: Name | None = None
    data: UsageData

    @model_validator(mode="after")
    def _attributes_are_flat(self) -> UsageEvent:
        for name, value in self.data.attributes.items():
            if not isinstance(value, str | int | bool):
                raise ValueError(
                    f"the attribute {name} must be a string, a whole number or true/false"
                )
        return self


def load_event(text: bytes, *, name: str) -> UsageEvent:
    """Read one event as strict JSON; DocumentError names the path of what is wrong, and says where
    the text has more than ``MAX_EVENT_BYTES``.
    """
    check_event_bytes(text, name=name)
    return load_json(UsageEvent, text, name=name)


def check_event_bytes(text: bytes, *, name: str) -> None:
    """DocumentError where the JSON of an event is too long; before it is parsed, which takes time
    and memory in proportion.
    """
    if len(text) > MAX_EVENT_BYTES:
        raise DocumentError(
            name,
            f"has {len(text):,} bytes, and an event at most {MAX_EVENT_BYTES:,}; leave out "
            "attributes",
        )
