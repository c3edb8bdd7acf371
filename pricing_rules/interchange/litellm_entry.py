"""One entry of LiteLLM's cost map: its fields by the grammar of their names.

Invariant: a field that may be a price is read, is one of those that LiteLLM itself does not read,
or makes the import refuse the entry: none is passed over.

The grammar: BASE [_above_NNk_tokens] [_TIER], as in
``cache_read_input_token_cost_above_200k_tokens_priority``. ``_above_1hr`` in a BASE is a lifetime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from pricing_rules.document import JsonValue
from pricing_rules.interchange.foreign_json import (
    UNREAD_PRICE,
    InexpressibleError,
    object_part,
    price_number,
)
from pricing_rules.interchange.imported import STANDARD

BATCH = "batch"

SUFFIXES: Mapping[str, str] = {
    STANDARD: "",
    BATCH: "_batches",
    "flex": "_flex",
    "priority": "_priority",
    "balanced": "_balanced",
    "ultrafast": "_ultrafast",
    "decisions": "_decisions",
}
"""Service tier -> how the names of its fields end."""

FIELD_SIZES = frozenset({100_000, 128_000, 200_000, 272_000, 512_000})
"""The request sizes that names of fields have; LiteLLM drops a field that it does not know."""

INPUT = "input_cost_per_token"
OUTPUT = "output_cost_per_token"
CACHE_READ = "cache_read_input_token_cost"
CACHE_WRITE = "cache_creation_input_token_cost"
CACHE_WRITE_1H = "cache_creation_input_token_cost_above_1hr"
REASONING = "output_cost_per_reasoning_token"
OUTPUT_IMAGE = "output_cost_per_image_token"

UNREAD: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile("input_cost_per_audio_token_priority"),
        "input_cost_per_audio_token_priority is dropped by LiteLLM; audio has its base rate",
    ),
    (
        re.compile("input_cost_per_token_cache_hit"),
        "input_cost_per_token_cache_hit is not read by LiteLLM; cache reads have their own field",
    ),
    (
        re.compile("(input|output)_dbu_cost_per_token"),
        "prices in Databricks units stand beside those in dollars; the dollars are imported",
    ),
    (
        re.compile(r".*_above_[0-9]+k_tokens(_[a-z]+)?"),
        "a field above a size that has no input rate is not read by LiteLLM",
    ),
)
"""Fields that LiteLLM does not read, and what is noted of them."""

_PRICE = re.compile("cost|price|pricing|multiplier|free_requests|surcharge|_fee")
_THRESHOLD = re.compile(rf"{INPUT}_above_([0-9]{{1,7}})(k?)_tokens\Z")


@dataclass(kw_only=True)
class Entry:
    """An entry of the map, which remembers what was read of it."""

    name: str
    fields: Mapping[str, JsonValue]
    _read: set[str] = field(default_factory=set)

    def text(self, name: str) -> str:
        """A field that is a text, empty where it is absent."""
        return str(self.fields.get(name) or "")

    @property
    def specific(self) -> Mapping[str, JsonValue]:
        """What the entry says for its provider alone: multipliers and settings."""
        return object_part(self.fields.get("provider_specific_entry"), name="its provider's entry")

    def take(self, name: str) -> JsonValue:
        """A field as it stands, None where it is absent; it counts as read."""
        self._read.add(name)
        return self.fields.get(name)

    def rate(self, name: str) -> Fraction | None:
        """A field that is a rate; None where it is absent or null. It counts as read."""
        return number(self.take(name), name=name)

    def rate_in(self, field_name: str, *, service_tier: str) -> Fraction | None:
        """A rate in a service tier by LiteLLM's fallback: the field of the service tier, else the
        plain one; of batch, half of the plain one.
        """
        plain = self.rate(field_name)
        if service_tier == STANDARD:
            return plain
        own = self.rate(field_name + SUFFIXES[service_tier])
        if own is not None or plain is None:
            return own
        return plain / 2 if service_tier == BATCH else plain

    @property
    def service_tiers(self) -> tuple[str, ...]:
        """Standard, and each service tier that some field of the entry names."""
        return tuple(
            name
            for name, suffix in SUFFIXES.items()
            if not suffix or any(_PRICE.search(f) and f.endswith(suffix) for f in self.fields)
        )

    @property
    def thresholds(self) -> tuple[tuple[int, str], ...]:
        """The request sizes that re-price a request, and how field names say each; ascending.

        Only a plain input rate makes one: LiteLLM looks for no other.
        """
        found = ((_THRESHOLD.match(name), name) for name in self.fields)
        return tuple(
            sorted(
                (int(match[1]) * (1000 if match[2] else 1), f"_above_{match[1]}{match[2]}_tokens")
                for match, name in found
                if match and self.fields[name] is not None
            )
        )

    def unread_notes(self) -> list[str]:
        """What LiteLLM does not read either; InexpressibleError for a price that nobody reads."""
        notes: dict[str, None] = {}
        for name in self.fields.keys() - self._read:
            if not _PRICE.search(name) or self.fields[name] is None:
                continue
            known = next((said for pattern, said in UNREAD if pattern.fullmatch(name)), None)
            if known is None:
                raise InexpressibleError(UNREAD_PRICE, detail=name)
            notes[known] = None
        return sorted(notes)

    @property
    def has_price(self) -> bool:
        """Whether any field may be a price."""
        return any(_PRICE.search(name) and v is not None for name, v in self.fields.items())


def priced_as(service_tier: str) -> str:
    """The service tier whose fields LiteLLM reads for one that it is asked for.

    ``fast`` is priority; one of which it knows no fields is standard.
    """
    named = "priority" if service_tier == "fast" else service_tier
    return named if named in SUFFIXES else STANDARD


def number(value: JsonValue, *, name: str) -> Fraction | None:
    """A rate of the map, None where it is absent; InexpressibleError for what is no rate."""
    return None if value is None else price_number(value, name=name)
