"""Export requests of OTLP, in JSON or protobuf: the spans of inference in them become usage events.

A trace holds more than inference, and the span of an agent repeats what the spans below it
counted. Invariant: each span that counted tokens of its own is read or refused, by the reader of
spans; its identity is its trace and its own id, so that a repeated export changes nothing, in
whichever encoding it is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from billing.intake.conversion import Conversion, Origin
from billing.intake.event_request import MAX_EVENTS, TooManyEventsError
from billing.intake.otel_spans import ERROR_STATUS, is_usage, read_otel_span
from billing.intake.otlp_protobuf import MAX_PARTS, spans_in_protobuf
from billing.intake.payload_fields import Fields, PayloadError, Reading, one_object, shown
from pricing_rules.document import DocumentError, dump, validate
from pricing_rules.period import checked_moment, moment_text

SOURCE = "otlp"
"""The source of every event that comes as a span."""

ACCOUNT = "tokenworks.account"
"""The attribute of a span, or else of its resource, that names the account. Who a client says that
it is (``user.id``, ``enduser.id``) is nobody's account, unless whoever reads them decides so.
"""

STATED: Mapping[str, str] = {
    "service_tier": "tokenworks.service_tier",
    "region": "tokenworks.region",
}
"""What else they may state of the origin -> the attribute."""

MAX_ATTRIBUTES = 10_000
"""Of one span with usage; SDKs keep 128 unless they are told otherwise."""

INFERENCE = ("chat", "generate_content", "text_completion", "embeddings")
"""``gen_ai.operation.name`` of what counts tokens: without any it is noted."""

SUMS: Mapping[str, tuple[str, ...]] = {
    "gen_ai.operation.name": ("invoke_agent", "create_agent", "execute_tool", "invoke_workflow"),
    "openinference.span.kind": ("AGENT", "CHAIN", "TOOL", "GUARDRAIL", "EVALUATOR"),
}
"""Attribute -> its values on spans whose counts are those of the spans below them."""

Encoding = Literal["json", "protobuf"]
"""The two of OTLP/HTTP."""

SpanKind = Literal["usage", "uncounted", "sum_of_others", "other"]
"""What a span is to us: ``uncounted`` is an inference whose tokens nobody counted."""

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}\Z")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}\Z")
_NANOSECONDS = re.compile(r"(?!0+\Z)[0-9]{1,20}\Z")  # 0: the end is not stated


class _Value(msgspec.Struct, rename="camel"):
    string_value: str | None = None


class _Attribute(msgspec.Struct):
    key: str = ""
    value: _Value | None = None


class _Attributed(msgspec.Struct):
    attributes: list[_Attribute] | None = None

    def texts(self) -> dict[str, str]:
        """The attributes by name; "" where one is no text."""
        return {
            one.key: (one.value.string_value or "" if one.value is not None else "")
            for one in self.attributes or ()
        }


class _Status(msgspec.Struct):
    code: int | str | None = None


class _Span(_Attributed):
    status: _Status | None = None

    @property
    def failed(self) -> bool:
        return self.status is not None and self.status.code in ERROR_STATUS


class _ScopeSpans(msgspec.Struct):
    spans: list[msgspec.Raw] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Attributed | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Export(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


_read_export = msgspec.json.Decoder(_Export).decode
_read_span = msgspec.json.Decoder(_Span).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRead:
    """What a span with usage became: its identity ("" where it has none), and the events or the
    refusal, whose pointer is into the span.
    """

    id: str
    found: Conversion | PayloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesRead:
    """The spans with usage in order, and how many spans there are of each kind."""

    spans: tuple[SpanRead, ...]
    kinds: Mapping[SpanKind, int]


def read_otlp_traces(
    body: bytes, *, encoding: Encoding, origin: Origin, account_attribute: str
) -> TracesRead:
    """Read an ``ExportTraceServiceRequest``.

    ``origin``: the account whose key sends it, if any, which no span can contradict; the service
    tier and region of spans that state none. ``account_attribute``: as ``ACCOUNT``. The price
    moment is the end of the span.
    DocumentError where the body is none, TooManyEventsError where more than ``MAX_EVENTS`` spans
    have usage.
    """
    names = {"account": account_attribute, **STATED}
    spans: list[SpanRead] = []
    kinds: dict[SpanKind, int] = dict.fromkeys(("usage", "uncounted", "sum_of_others", "other"), 0)
    spans_in = {"json": _spans_in_json, "protobuf": spans_in_protobuf}[encoding]
    for text, resource in spans_in(body):
        try:
            own = _read_span(text)
        except msgspec.ValidationError as error:
            kind: SpanKind = "usage"
            refused = PayloadError("", sentence=f"is no span of OTLP ({error})")
            spans.append(SpanRead(id="", found=refused))
        else:
            texts = own.texts()
            kind = _kind(texts, failed=own.failed)
            if kind == "usage":
                # A resource may have many attributes and many spans: none is copied for each.
                stated = {
                    field: one
                    for field, name in names.items()
                    if (one := texts.get(name) or resource.get(name))
                }
                count = len(own.attributes or ())
                spans.append(
                    _read(text, attributes=count, stated=stated, names=names, origin=origin)
                )
        kinds[kind] += 1
        if len(spans) > MAX_EVENTS:
            raise TooManyEventsError(
                "body", f"holds more than {MAX_EVENTS:,} spans with usage; export fewer at once"
            )
    return TracesRead(spans=tuple(spans), kinds=kinds)


def _spans_in_json(body: bytes) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """The JSON text of each span, and the texts of its resource."""
    if body.count(b",") > MAX_PARTS:  # not taken apart only to be counted
        raise TooManyEventsError("body", "holds too many spans; export fewer at once")
    try:
        export = _read_export(body)
    except msgspec.ValidationError as error:
        raise DocumentError("body", f"is no ExportTraceServiceRequest ({error})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DocumentError("body", f"is not JSON ({error})") from None
    except RecursionError:
        raise DocumentError("body", "is nested too deeply") from None
    for group in export.resource_spans or ():
        resource = group.resource.texts() if group.resource is not None else {}
        for scope in group.scope_spans or ():
            for span in scope.spans or ():
                yield bytes(span), resource


def _kind(stated: Mapping[str, str], *, failed: bool) -> SpanKind:
    if any(stated.get(name) in values for name, values in SUMS.items()):
        return "sum_of_others" if any(map(is_usage, stated)) else "other"
    if any(map(is_usage, stated)):
        return "usage"
    if stated.get("gen_ai.operation.name") not in INFERENCE:
        return "other"
    # One that failed is an event without counts.
    return "usage" if failed or "error.type" in stated else "uncounted"


def _read(
    text: bytes,
    *,
    attributes: int,
    stated: Mapping[str, str],
    names: Mapping[str, str],
    origin: Origin,
) -> SpanRead:
    """Read one span with usage. ``attributes``: how many it has; ``stated``: fields of the origin
    that it or its resource states; ``names``: the attributes of those.
    """
    span_id = ""
    try:
        if attributes > MAX_ATTRIBUTES:  # known before it is parsed in full
            sentence = (
                f"are {attributes:,}, and a span has at most {MAX_ATTRIBUTES:,}; leave some out"
            )
            raise PayloadError("/attributes", sentence=sentence)
        span = one_object(text, reading=Reading())
        span_id = _identity(span)
        if "account" not in stated and origin.account is None:
            sentence = (
                f"state no {names['account']}; set it on the span or its resource, or send with "
                "the key of the account"
            )
            raise span.refused("attributes", sentence=sentence)
        known = _origin(span, span_id=span_id, stated=stated, origin=origin)
        own_ids = dict(zip(("traceId", "spanId"), span_id.split("-"), strict=True))
        return SpanRead(id=span_id, found=read_otel_span({**span.value, **own_ids}, origin=known))
    except PayloadError as error:
        return SpanRead(id=span_id, found=error)


def _identity(span: Fields) -> str:
    parts = []
    for key, pattern in (("traceId", _TRACE_ID), ("spanId", _SPAN_ID)):
        found = (span.text(key) or "").lower()
        if not pattern.match(found):
            digits = 32 if key == "traceId" else 16
            sentence = f"must be {digits} hexadecimal digits that are not all 0, not {shown(found)}"
            raise span.refused(key, sentence=sentence)
        parts.append(found)
    return "-".join(parts)


def _origin(span: Fields, *, span_id: str, stated: Mapping[str, str], origin: Origin) -> Origin:
    """``stated``: fields of the origin that the span or its resource states."""
    if origin.account not in (None, stated.get("account", origin.account)):
        sentence = "state an account that is not the one of this key; send it with another"
        raise span.refused("attributes", sentence=sentence)
    own = {"id": span_id, "source": SOURCE, "time": _ended_at(span)}
    try:
        return validate(Origin, {**dump(origin), **stated, **own}, name="", lines={})
    except DocumentError as error:
        raise span.refused("attributes", sentence=str(error)) from None


def _ended_at(span: Fields) -> str:
    """The end of a span, cut to microseconds."""
    stated = span.get("endTimeUnixNano")
    text = str(stated) if isinstance(stated, int) and not isinstance(stated, bool) else stated
    try:
        if not isinstance(text, str) or not _NANOSECONDS.match(text):
            raise ValueError(f"must be nanoseconds since 1970, not {shown(stated)}")
        return moment_text(checked_moment(int(text) // 1_000, text=text))
    except ValueError as error:
        raise span.refused("endTimeUnixNano", sentence=str(error)) from None
