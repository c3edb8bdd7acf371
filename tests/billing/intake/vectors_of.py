"""Conformance vectors: payloads with the events, or the refusal, that they become.

Each file of ``vectors/`` names its reader and where the payloads are documented. A vector's
events say all of an event's data but the attributes, of which they name some. Invariant: what a
vector leaves out has the value of ``ORIGIN`` or the default of the event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from billing.intake.conversion import Conversion, Origin
from billing.intake.payload_readers import PAYLOAD_READERS
from pricing_rules.document import dump, validate

Json = Any

FOLDER = Path(__file__).parent / "vectors"
FILES = sorted(FOLDER.glob("*.json"))

ORIGIN: dict[str, Json] = {
    "account": "acme",
    "id": "r1",
    "source": "gw",
    "time": "2026-11-22T10:00:00Z",
}
"""What the gateway knows where a vector says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One payload, and what it becomes."""

    reader: str
    source: str
    said: dict[str, Json]

    @property
    def name(self) -> str:
        return f"{self.reader}: {self.said['name']}"

    def read(self) -> Conversion:
        """What the reader makes of the payload."""
        return read(self.reader, payload=self.said["payload"], **self.said.get("origin", {}))


def origin_with(**stated: Json) -> Origin:
    """The origin of ``ORIGIN`` with some of it changed; None leaves one out."""
    known = {key: value for key, value in {**ORIGIN, **stated}.items() if value is not None}
    return validate(Origin, known, name="", lines={})


def read(reader: str, *, payload: Json, **stated: Json) -> Conversion:
    """What a reader makes of a payload whose origin is ``ORIGIN`` but for what is stated."""
    return PAYLOAD_READERS[reader](payload, origin=origin_with(**stated))


def vectors() -> Iterator[Vector]:
    """All vectors of all files."""
    for path in FILES:
        found = json.loads(path.read_bytes())
        for said in found["vectors"]:
            yield Vector(reader=found["reader"], source=found["source"], said=said)


def plain(conversion: Conversion) -> list[dict[str, Json]]:
    """The events as plain JSON."""
    return [dump(event) for event in conversion.events]
