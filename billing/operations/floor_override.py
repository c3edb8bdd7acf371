"""The override of a floor: who lets something be sold under its floor, why, and until when.

Invariant: a gate that finds a rate under its floor passes with an override that ends, or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.period import moment_text


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
    override: FloorOverride | None, *, where: str, found: Sequence[str], effective_from: int
) -> None:
    """DocumentError where something lies under its floor and nobody overrides it for long enough.

    ``found``: a sentence for each rate under its floor.
    """
    if not found:
        return
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if override is None:
        raise DocumentError(
            where, f"{found[0]}{more}; raise it, or give an override that says why and until when"
        )
    if override.ends_at <= effective_from:
        raise DocumentError(
            where,
            f"the override ends before it is needed; give an end after "
            f"{moment_text(effective_from)}",
        )
