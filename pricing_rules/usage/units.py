"""The unit registry: what can be counted, at which integer scale, and which unit contains which.

Invariant: the table is append-only, and containment is the subset relation of dimensions: a unit
contains every unit whose dimensions include its own (``input_tokens`` contains
``cache_read_tokens``).

Names and containment follow the registry of genai-prices (MIT, version 0.2.3); from
``passthrough_spend`` on they are ours. Sizes, quality, resolution and the like are declared
dimensions of an event, never units.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache

MAX_COUNT = 10**12
"""Largest count of one unit in one event, in its natural unit; more is a typing error, not
traffic.
"""

_COUNT_TEXT = re.compile(r"(0|[1-9][0-9]{0,12})(\.[0-9]{1,9})?\Z")
_STEPS_TEXT = re.compile(r"(0|[1-9][0-9]{0,17})/([1-9][0-9]{0,8})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One countable thing.

    ``scale``: how many integer steps one natural unit has (audio seconds are counted in
    milliseconds, so 2.5 s is 2500). ``dimensions``: what it is, as ``key=value`` words.
    """

    name: str
    scale: int
    dimensions: frozenset[str]

    @property
    def decimals(self) -> int:
        """How many decimals a count may have: those that every such number has on the scale."""
        return next(n for n in range(len(str(self.scale)) - 1, -1, -1) if self.scale % 10**n == 0)

    def contains(self, other: Unit) -> bool:
        """Whether every ``other`` is one of these, the unit itself included."""
        return self.dimensions <= other.dimensions


_MODALITIES = ("text", "audio", "image", "video")


def _tokens(name: str, direction: str, rest: str = "") -> tuple[str, int, str]:
    return name, 1, f"family=tokens direction={direction} {rest}"


def _cache_units(modality: str) -> list[tuple[str, int, str]]:
    infix, own = (f"{modality}_", f" modality={modality}") if modality else ("", "")
    return [
        _tokens(f"cache_{infix}read_tokens", "input", f"token_type=cache_read{own}"),
        _tokens(f"cache_{infix}write_tokens", "input", f"token_type=cache_write{own}"),
        _tokens(
            f"cache_{infix}write_5m_tokens", "input", f"token_type=cache_write cache_ttl=5m{own}"
        ),
        _tokens(
            f"cache_{infix}write_1h_tokens", "input", f"token_type=cache_write cache_ttl=1h{own}"
        ),
    ]


def _typed_units(direction: str, token_type: str) -> list[tuple[str, int, str]]:
    plain = _tokens(f"{direction}_{token_type}_tokens", direction, f"token_type={token_type}")
    return [plain] + [
        _tokens(
            f"{direction}_{m}_{token_type}_tokens",
            direction,
            f"token_type={token_type} modality={m}",
        )
        for m in _MODALITIES
    ]


def _modality_units(modality: str) -> list[tuple[str, int, str]]:
    return [
        _tokens(f"input_{modality}_tokens", "input", f"modality={modality}"),
        _tokens(f"output_{modality}_tokens", "output", f"modality={modality}"),
        *_cache_units(modality),
    ]


_TABLE: tuple[tuple[str, int, str], ...] = (
    _tokens("input_tokens", "input"),
    _tokens("output_tokens", "output"),
    *_cache_units(""),
    *(unit for modality in _MODALITIES for unit in _modality_units(modality)),
    *_typed_units("input", "tool"),
    *_typed_units("output", "reasoning"),
    *_typed_units("output", "citation"),
    ("input_characters", 1, "family=characters direction=input"),
    ("input_text_messages", 1, "family=messages direction=input modality=text"),
    ("audio_seconds", 1000, "family=durations modality=audio"),
    ("input_audio_seconds", 1000, "family=durations direction=input modality=audio"),
    ("output_audio_seconds", 1000, "family=durations direction=output modality=audio"),
    ("input_pixels", 1, "family=pixels direction=input"),
    ("input_document_pages", 1, "family=document_pages direction=input"),
    (
        "input_annotated_document_pages",
        1,
        "family=document_pages direction=input page_type=annotated",
    ),
    ("rerank_searches", 1, "family=rerank"),
    ("web_searches", 1, "family=tool_calls tool_type=web_search"),
    ("social_searches", 1, "family=tool_calls tool_type=social_search"),
    ("storage_searches", 1, "family=tool_calls tool_type=storage_search"),
    ("code_executions", 1, "family=tool_calls tool_type=code_execution"),
    ("requests", 1, "family=requests"),
    # What a third party charged for a part of the request, in the currency of the book: the
    # quantity that percentage ladders price. Counted in millionths.
    ("passthrough_spend", 1_000_000, "family=passthrough_spend"),
    ("input_images", 1, "family=images direction=input"),
    ("output_images", 1, "family=images direction=output"),
    ("input_video_seconds", 1000, "family=durations direction=input modality=video"),
    ("output_video_seconds", 1000, "family=durations direction=output modality=video"),
    ("output_characters", 1, "family=characters direction=output"),
    ("output_pixels", 1, "family=pixels direction=output"),
    ("code_sessions", 1, "family=tool_calls tool_type=code_session"),
    ("maps_searches", 1, "family=tool_calls tool_type=maps_search"),
    ("guardrail_units", 1, "family=guardrail_units"),
    ("databricks_units", 1_000_000, "family=databricks_units"),
    # A time integral: so many tokens kept for so long. Counted in token-seconds.
    ("cache_storage_token_hours", 3600, "family=cache_storage"),
    ("storage_gb_days", 1_000_000, "family=storage"),
    ("capacity_unit_seconds", 1, "family=capacity"),
    ("songs", 1, "family=songs"),
)

UNITS: dict[str, Unit] = {
    name: Unit(name=name, scale=scale, dimensions=frozenset(words.split()))
    for name, scale, words in _TABLE
}
"""Every unit by name, in registry order."""

REQUESTS = "requests"
"""The unit whose count is the number of events of a total; it is never reported and never a leaf.
"""

REPORTED_UNITS: tuple[str, ...] = tuple(name for name in UNITS if name != REQUESTS)
"""The units that an event may report."""

UNIT_COUNTS_SCHEMA: dict[str, object] = {
    "type": "object",
    "propertyNames": {"enum": list(REPORTED_UNITS)},
    "additionalProperties": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MAX_COUNT},
            {
                "type": "string",
                "pattern": "^("
                + "|".join(p.pattern.removesuffix(r"\Z") for p in (_COUNT_TEXT, _STEPS_TEXT))
                + ")$",
            },
        ]
    },
}
"""The JSON Schema of counts by unit; a string only for units that are counted in fractions."""


def scaled_count(unit: str, *, count: object) -> int:
    """A reported count as an integer of the unit's scale.

    ``count`` is an int, or for units counted in fractions also a plain decimal string (``"2.5"``
    audio seconds is 2500) or so many steps of the scale (``"90/3600"`` token-hours of storage are
    90 token-seconds). ValueError for a unit that does not exist or is not reported, a bool, a
    float, a negative or huge count, or a string that is off the scale.
    """
    if unit not in UNITS:
        raise ValueError(f'"{unit:.60}" is not a unit; tokenworks schema usage-event lists them')
    if unit == REQUESTS:
        raise ValueError('"requests" is the number of events; leave it out')
    scale = UNITS[unit].scale
    scaled = _scaled_text(UNITS[unit], text=count) if isinstance(count, str) else None
    if scaled is None:
        if isinstance(count, bool) or not isinstance(count, int):
            wanted = 'a whole number or a string such as "2.5"' if scale > 1 else "a whole number"
            raise ValueError(f"{unit} must be {wanted}, not {count!r:.40}")
        scaled = count * scale
    if not 0 <= scaled <= MAX_COUNT * scale:
        shown = count if abs(scaled) < 10**30 else "a number beyond all bounds"
        raise ValueError(f"{unit} must lie between 0 and {MAX_COUNT}, not {shown}")
    return scaled


def _scaled_text(unit: Unit, *, text: str) -> int | None:
    """A count that is a text, at the unit's scale; None where it is not written as one."""
    if unit.scale == 1:
        return None
    if found := _STEPS_TEXT.match(text):
        if int(found[2]) != unit.scale:
            raise ValueError(
                f'{unit.name} is counted in 1/{unit.scale}: write "{found[1]}/{unit.scale}" for '
                f'so many steps, not "{text}"'
            )
        return int(found[1])
    if not _COUNT_TEXT.match(text):
        return None
    whole, _, fraction = text.partition(".")
    steps, scale = unit.decimals, unit.scale
    if len(fraction.rstrip("0")) > steps:
        raise ValueError(f'{unit.name} is counted in 1/{scale}: "{text}" has too many decimals')
    step = int(10**steps)
    return (int(whole) * step + int(fraction[:steps].ljust(steps, "0") or 0)) * (scale // step)


@cache
def strict_descendants(unit: str) -> frozenset[str]:
    """The reported units that ``unit`` contains, without itself."""
    own = UNITS[unit]
    return frozenset(n for n in REPORTED_UNITS if n != unit and own.contains(UNITS[n]))


def nearest_priced(leaf: str, *, priced: AbstractSet[str]) -> str | None:
    """The unit of ``priced`` whose rate a leaf takes: itself, or its nearest ancestor.

    None where no unit of ``priced`` contains the leaf. Two incomparable nearest ones raise
    LookupError that names them: which of both rates was meant is not ours to guess.
    """
    own = UNITS[leaf]
    found = [UNITS[name] for name in priced if UNITS[name].contains(own)]
    if not found:
        return None
    nearest = max(found, key=lambda unit: (len(unit.dimensions), unit.name))
    rivals = sorted(unit.name for unit in found if not unit.contains(nearest))
    if rivals:
        raise LookupError(
            f"{leaf} has a rate as {nearest.name} and as {rivals[0]}, "
            "and neither contains the other"
        )
    return nearest.name
