"""High-water marks: how far a store had come when it was verified, and whether it went back since.

Invariant: what was once stored is never removed and never numbered again, so each number of a later
state is at least as high, and the row that had the number has it still.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from billing.domain.verification.equations import Damage, Verified
from pricing_rules.document import Document


class Mark(Document):
    """The last row of a kind: its number, and a digest of what stands in it.

    ``of``: rows of the audit, sealed epochs, events, or the invoices of one series of an issuer.
    """

    of: Literal["audit", "epochs", "events", "numbers"]
    issuer: str = ""
    series: str = ""
    number: Annotated[int, Field(ge=1)]
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]

    @property
    def name(self) -> str:
        """What is numbered, as the equations call it."""
        return f"numbers of {self.series}, {self.issuer}" if self.of == "numbers" else self.of


def nothing_went_back(
    earlier: Collection[Mark], *, now: Collection[Mark], there: Collection[Mark]
) -> Verified:
    """Damage for each mark of an earlier report that is higher than now, or is of another row.

    ``now``: the marks of the store. ``there``: the rows that have the numbers of the earlier marks
    now, of those that are there.
    """
    last = {(mark.of, mark.issuer, mark.series): mark.number for mark in now}
    found: list[Damage] = []
    for mark in earlier:
        number = last.get((mark.of, mark.issuer, mark.series), 0)
        if number < mark.number:
            sentence = (
                f"went back from {mark.number:,} to {number:,} since the earlier report, as in an "
                "older copy; write nothing to it, or numbers are used twice, and put a later copy "
                "in its place"
            )
        elif mark not in there:
            sentence = (
                f"number {mark.number:,} is not what it was in the earlier report: an older copy, "
                "or another store, was put here and written to; write nothing more to it, and put "
                "a later copy of the first in its place"
            )
        else:
            continue
        found.append(Damage(kind="went_back", where=mark.name, sentence=sentence))
    return Verified(damage=tuple(found))
