"""The override of a floor: who lets something be sold under its floor, why, and until when.

Invariant: a gate that finds a rate under its floor passes with an override that ends, or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.period import moment_text


class NeedsOverride(Protocol):
    """A rate under its floor from a moment on, as a gate finds it."""

    @property
    def from_at(self) -> int:
        """From when on."""

    @property
    def until_at(self) -> int | None:
        """Until when; None where nothing says so."""

    def sentence(self) -> str:
        """The finding as one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorOverride:
    """A person's word that rates may lie under their floor until ``ends_at``."""

    by: str
    reason: str
    ends_at: int

    def as_json(self) -> JsonValue:
        """The override as the audit keeps it."""
        return {"by": self.by, "reason": self.reason, "ends_at": moment_text(self.ends_at)}


def check_override(
    override: FloorOverride | None, *, where: str, found: Sequence[NeedsOverride]
) -> None:
    """DocumentError where something lies under its floor and nobody overrides it for long enough.

    ``found``: each rate under its floor, from when on and until when. An override lasts until each
    of them is over; where no end is known, it ends after it began, and the next gate asks again.
    """
    if not found:
        return
    if override is None:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DocumentError(
            where,
            f"{found[0].sentence()}{more}; raise the rate, lower the discount, or give an override "
            "that says why and until when",
        )
    last = max(found, key=lambda one: one.from_at)
    if override.ends_at <= last.from_at:
        raise DocumentError(
            where,
            f"the override ends before it is needed; give an end after "
            f"{moment_text(last.from_at)}: {last.sentence()}",
        )
    for one in found:
        if one.until_at is not None and override.ends_at < one.until_at:
            raise DocumentError(
                where,
                f"the override ends at {moment_text(override.ends_at)}, too early; let it last "
                f"until {moment_text(one.until_at)}: {one.sentence()}",
            )
