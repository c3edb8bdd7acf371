"""Quotes of JSON lines: one request a line in, one amount or one error a line out.

Invariant: every line gets exactly one line, whatever its bytes are. The fast reader only accepts
what ``QuoteRequest`` would read to the same values; any doubt goes to that definition, which also
writes every error of form.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import TypeAdapter, ValidationError

from pricing_rules.document import DocumentError, Name, load_json
from pricing_rules.period import parse_moment
from pricing_rules.prices.quote import CompiledBook, QuoteError, QuoteRequest
from pricing_rules.usage.units import MAX_COUNT, REPORTED_UNITS, UNITS

_MAX_SENTENCE = 300
_UNSCALED_UNITS = frozenset(name for name in REPORTED_UNITS if UNITS[name].scale == 1)

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of ``QuoteRequest`` without null and without decimal counts."""

    model: str
    service_tier: str
    units: dict[str, _Count]
    region: str | UnsetType = UNSET
    at: str | UnsetType = UNSET
    dimensions: dict[str, str] | UnsetType = UNSET
    request_tokens: _Count | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(_Line)
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class _UnsureError(Exception):
    """The fast reader cannot vouch for a line."""


def quote_line(compiled: CompiledBook, *, line: bytes) -> bytes:
    """Quote one JSON line: ``{"amount":"0.00123"}``, or ``{"error":"..."}`` with one sentence.

    The line is an object with model, service_tier and units (inclusive counts by unit name, whole
    numbers or, for units counted in fractions, decimal strings); region, at, dimensions and
    request_tokens may be given. The answer has no line end. Nothing in a line raises.
    """
    try:
        text = _fast(compiled, line)
    except QuoteError as error:
        return _error(str(error))
    except _UnsureError:
        return _strict(compiled, line)
    return b'{"amount":"' + text.encode() + b'"}'


def _fast(compiled: CompiledBook, line: bytes) -> str:
    if b"\\" in line:
        raise _UnsureError
    try:
        asked = _DECODER.decode(line)
    except (ValueError, RecursionError):
        raise _UnsureError from None
    units, model, service_tier = asked.units, asked.model, asked.service_tier
    if not _UNSCALED_UNITS.issuperset(units):
        raise _UnsureError
    # A key that stands twice is read once, so the line then has more colons than what was read.
    colons = 3 + len(units) + model.count(":") + service_tier.count(":")
    region, size_tokens, moment_at = "", asked.request_tokens, None
    if asked.region is not UNSET:
        region = asked.region
        colons += 1 + region.count(":")
    if size_tokens is UNSET:
        size_tokens = units.get("input_tokens", 0)
    else:
        colons += 1
    if asked.at is not UNSET:
        colons += 1 + asked.at.count(":")
        try:
            moment_at = parse_moment(asked.at)
        except ValueError:
            raise _UnsureError from None
    dimensions: dict[str, str] = {}
    if asked.dimensions is not UNSET:
        dimensions = asked.dimensions
        colons += 1 + len(dimensions)
        for pair in dimensions.items():
            for text in pair:
                colons += text.count(":")
                _vouch(text)
    if line.count(b":") != colons:
        raise _UnsureError
    _vouch(model)
    _vouch(service_tier)
    if region:
        _vouch(region)
    compiled.check_moment(moment_at)
    card = compiled.card(
        model=model,
        service_tier=service_tier,
        size_tokens=size_tokens,
        region=region,
        dimensions=dimensions,
        moment_at=moment_at,
    )
    return card.amount_text(units)


def _strict(compiled: CompiledBook, line: bytes) -> bytes:
    if not line.strip():
        return _error("the line is empty")
    try:
        request = load_json(QuoteRequest, line, name="line")
        return b'{"amount":"' + compiled.amount_text(request).encode() + b'"}'
    except (DocumentError, QuoteError) as error:
        return _error(str(error))


def _error(sentence: str) -> bytes:
    # The sentence may show a part of the line: not all of a long one, and no lone surrogate.
    shown = sentence if len(sentence) <= _MAX_SENTENCE else sentence[: _MAX_SENTENCE - 3] + "..."
    return msgspec.json.encode({"error": shown.encode("utf-8", "replace").decode()})


def _vouch(text: str) -> None:
    if len(text) > 200 or not _is_name(text):
        raise _UnsureError


@lru_cache(maxsize=4096)
def _is_name(text: str) -> bool:
    try:
        return bool(_NAME.validate_python(text))
    except ValidationError:
        return False
